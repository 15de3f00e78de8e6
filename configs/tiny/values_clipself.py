# CLIPSelf on the value dense path.
_base_ = './clipself.py'

model = dict(encoder=dict(dense_path=dict(type='values', layers=2, gate=False)))
