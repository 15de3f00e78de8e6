# CLIPSelf on OpenAI CLIP ViT-L/14-336: the other encoder of configs/san and configs/cat_seg.
_base_ = './clipself_coco_eva02_l14.py'

openai = dict(model_name='ViT-L-14-336-quickgelu', checkpoint='open_clip:openai')
model = dict(encoder=openai)
default_hooks = dict(teacher=dict(teacher=openai))
