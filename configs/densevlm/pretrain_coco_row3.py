# Table 3, row 3: only stuff restricted.
_base_ = './pretrain_coco.py'

model = dict(loss=dict(thing_contrast='all', stuff_contrast='stuff'))
