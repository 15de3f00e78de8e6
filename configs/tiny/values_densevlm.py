# DenseVLM on the value dense path; the teacher keeps its own. With a gate, and its learning rate:
# --cfg-options model.encoder.dense_path.gate=True optim_wrapper.paramwise_cfg.custom_keys.value_gate.lr_mult=10
_base_ = './densevlm.py'

model = dict(encoder=dict(dense_path=dict(type='values', layers=2, gate=False)))
optim_wrapper = dict(paramwise_cfg=dict(custom_keys={'value_gate': dict(lr_mult=1.)}))
