# OpenAI CLIP ViT-B/16 as student (Tables 6 and 13).
_base_ = './pretrain_coco.py'

model = dict(encoder=dict(model_name='ViT-B-16-quickgelu', checkpoint='open_clip:openai'))
