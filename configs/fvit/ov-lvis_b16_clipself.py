# The encoder refined by CLIPSelf on image patches.
_base_ = './ov-lvis_b16_eva-original.py'

model = dict(backbone=dict(encoder=dict(checkpoint='weights/eva_vitb16_coco_clipself_patches.pt')))
