# The encoder refined by CLIPSelf on region proposals.
_base_ = './ov-coco_b16_eva-original.py'

model = dict(backbone=dict(encoder=dict(checkpoint='weights/eva_vitb16_coco_clipself_proposals.pt')))
