# OpenCLIP ViT-B/16 as student (Table 6). Which of its weights the paper takes is not known to us; these are of LAION-2B.
_base_ = './pretrain_coco.py'

model = dict(encoder=dict(model_name='ViT-B-16', checkpoint='open_clip:laion2b_s34b_b88k'))
