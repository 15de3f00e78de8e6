# OpenAI CLIP ViT-L/14-336 as student.
_base_ = './pretrain_coco_eva02_l14.py'

model = dict(
    encoder=dict(model_name='ViT-L-14-336-quickgelu', checkpoint='open_clip:openai'))
