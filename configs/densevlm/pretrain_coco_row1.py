# Table 3, row 1: no decoupling.
_base_ = './pretrain_coco.py'

model = dict(loss=dict(thing_contrast='all', stuff_contrast='all'))
