# OpenCLIP ViT-B/16 (LAION-2B) on COCO panoptic regions (Table 1):
# python tools/test.py configs/densevlm/eval_coco_openclip_b16.py open_clip:laion2b_s34b_b88k
_base_ = './pretrain_coco.py'

model = dict(encoder=dict(model_name='ViT-B-16', checkpoint='open_clip:laion2b_s34b_b88k'))
