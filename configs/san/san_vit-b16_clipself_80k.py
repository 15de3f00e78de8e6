# The encoder refined by CLIPSelf.
_base_ = './san_vit-b16_clip_80k.py'

model = dict(clip=dict(checkpoint='weights/clipself_openai_b16.safetensors'))
