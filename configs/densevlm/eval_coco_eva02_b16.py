# EVA02-CLIP ViT-B/16 on COCO panoptic regions (Table 1):
# python tools/test.py configs/densevlm/eval_coco_eva02_b16.py open_clip:merged2b_s8b_b131k
_base_ = './pretrain_coco.py'

model = dict(encoder=dict(model_name='EVA02-B-16', checkpoint='open_clip:merged2b_s8b_b131k'))
