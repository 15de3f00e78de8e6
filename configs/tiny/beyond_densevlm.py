# DenseVLM with all three additions (ours): retention, correlation distillation, value dense path.
_base_ = './retention_densevlm.py'

model = dict(
    encoder=dict(dense_path=dict(type='values', layers=2, gate=False)),
    loss=dict(
        losses=dict(correlate=dict(type='CorrelationDistillationLoss', scope='image')),
        weights=dict(correlate=1.)))
default_hooks = dict(correlate=dict(type='CorrelationTeacherHook', scope='image'))
