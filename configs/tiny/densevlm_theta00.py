# Table 12: theta 0, every region is kept.
_base_ = './densevlm.py'

model = dict(loss=dict(threshold=0.0))
