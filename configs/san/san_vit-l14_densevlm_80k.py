# The encoder trained by configs/densevlm/pretrain_coco_openai_l14.py and exported.
_base_ = './san_vit-l14_clip_80k.py'

model = dict(clip=dict(checkpoint='weights/densevlm_openai_l14.safetensors'))
