# OpenCLIP ViT-B/16 (LAION-2B) as student.
_base_ = './pretrain_coco.py'

model = dict(encoder=dict(model_name='ViT-B-16', checkpoint='open_clip:laion2b_s34b_b88k'))
