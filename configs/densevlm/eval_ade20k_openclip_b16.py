# OpenCLIP ViT-B/16 (LAION-2B) on ADE20K panoptic regions (Table 1):
# python tools/test.py configs/densevlm/eval_ade20k_openclip_b16.py open_clip:laion2b_s34b_b88k
_base_ = './eval_ade20k.py'

model = dict(encoder=dict(model_name='ViT-B-16', checkpoint='open_clip:laion2b_s34b_b88k'))
