# OpenAI CLIP ViT-B/16 as student: an encoder for configs/san and configs/cat_seg (Table 7).
_base_ = './pretrain_coco.py'

model = dict(encoder=dict(model_name='ViT-B-16-quickgelu', checkpoint='open_clip:openai'))
