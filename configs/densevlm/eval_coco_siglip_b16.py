# SigLIP ViT-B/16 on COCO panoptic regions (Table 1):
# python tools/test.py configs/densevlm/eval_coco_siglip_b16.py open_clip:webli
_base_ = './pretrain_coco.py'

model = dict(encoder=dict(model_name='ViT-B-16-SigLIP-512', checkpoint='open_clip:webli'))
