# CLIPSelf on the value dense path.
_base_ = './clipself.py'

model = dict(encoder=dict(dense_path=dict(type='values', layers=2, gate=False)))
optim_wrapper = dict(paramwise_cfg=dict(custom_keys={'value_gate': dict(lr_mult=1.)}))
