# Table 3, row 3: only stuff restricted.
_base_ = './densevlm.py'

model = dict(loss=dict(thing_contrast='all', stuff_contrast='stuff'))
