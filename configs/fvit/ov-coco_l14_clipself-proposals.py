# The encoder refined by CLIPSelf on region proposals.
_base_ = './ov-coco_l14_eva-original.py'

model = dict(backbone=dict(encoder=dict(checkpoint='weights/eva_vitl14_coco_clipself_proposals.pt')))
