# OpenAI CLIP ViT-B/16 on COCO panoptic regions (Table 1):
# python tools/test.py configs/densevlm/eval_coco_openai_b16.py open_clip:openai
_base_ = './pretrain_coco.py'

model = dict(encoder=dict(model_name='ViT-B-16-quickgelu', checkpoint='open_clip:openai'))
