# OpenAI CLIP ViT-B/16 on ADE20K panoptic regions (Table 1):
# python tools/test.py configs/densevlm/eval_ade20k_openai_b16.py open_clip:openai
_base_ = './eval_ade20k.py'

model = dict(encoder=dict(model_name='ViT-B-16-quickgelu', checkpoint='open_clip:openai'))
