# Table 3, row 2: things and stuff apart.
_base_ = './pretrain_coco.py'

model = dict(loss=dict(thing_contrast='things', stuff_contrast='stuff'))
