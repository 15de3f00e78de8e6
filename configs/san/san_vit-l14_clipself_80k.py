# The encoder refined by CLIPSelf.
_base_ = './san_vit-l14_clip_80k.py'

model = dict(clip=dict(checkpoint='weights/clipself_openai_l14.safetensors'))
