# DenseVLM with correlation distillation: positions keep the similarities that they have in the initial student.
# No part of the DenseVLM paper; see configs/correlation/README.md.
_base_ = './densevlm.py'

model = dict(
    loss=dict(
        _delete_=True,
        type='WeightedLosses',
        losses=dict(
            align=_base_.model.loss,
            correlate=dict(type='CorrelationDistillationLoss', scope='image')),  # 8 x 8 positions: regions have too few
        weights=dict(align=1.0, correlate=1.0)))
default_hooks = dict(correlate=dict(type='CorrelationTeacherHook', scope='image'))
