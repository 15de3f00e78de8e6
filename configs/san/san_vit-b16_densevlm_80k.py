# The encoder trained by configs/densevlm/pretrain_coco_openai_b16.py and exported.
_base_ = './san_vit-b16_clip_80k.py'

model = dict(clip=dict(checkpoint='weights/densevlm_openai_b16.safetensors'))
