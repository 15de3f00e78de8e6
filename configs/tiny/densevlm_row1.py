# Table 3, row 1: no decoupling.
_base_ = './densevlm.py'

model = dict(loss=dict(thing_contrast='all', stuff_contrast='all'))
