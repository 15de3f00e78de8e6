# The encoder trained by configs/densevlm/pretrain_coco_openai_b16.py and exported.
_base_ = './ov-coco_openai-b16_original.py'

model = dict(backbone=dict(encoder=dict(checkpoint='weights/densevlm_openai_b16.safetensors')))
