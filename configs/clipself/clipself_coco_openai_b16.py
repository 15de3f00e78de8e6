# CLIPSelf on OpenAI CLIP ViT-B/16: the other encoder of configs/san and configs/cat_seg.
_base_ = './clipself_coco_eva02_b16.py'

openai = dict(model_name='ViT-B-16-quickgelu', checkpoint='open_clip:openai')
model = dict(encoder=openai)
default_hooks = dict(teacher=dict(teacher=openai))
