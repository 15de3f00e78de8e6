# Table 12: theta 0.5.
_base_ = './densevlm.py'

model = dict(loss=dict(threshold=0.5))
