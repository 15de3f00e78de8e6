# DenseVLM on the value dense path: configs/densevlm/pretrain_coco.py with the student's dense features made another way.
_base_ = '../densevlm/pretrain_coco.py'

# Three layers and a gate of the heads are what DenseRC (CVPR 2026) found best, as a third party's summary has it.
model = dict(encoder=dict(dense_path=dict(type='values', layers=3, gate=True)))
optim_wrapper = dict(paramwise_cfg=dict(custom_keys={'value_gate': dict(lr_mult=1.)}))  # not known of DenseRC
