# OpenAI CLIP ViT-L/14-336 as student: an encoder for the L/14 configs of configs/san and configs/cat_seg (ours).
_base_ = './pretrain_coco_eva02_l14.py'

model = dict(
    encoder=dict(model_name='ViT-L-14-336-quickgelu', checkpoint='open_clip:openai'))
