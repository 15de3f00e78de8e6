# DenseVLM with correlation distillation, no part of the paper: tokens of a region keep the similarities that they have
# in the initial student. The weight is our start of a sweep, see README.md.
_base_ = '../densevlm/pretrain_coco.py'

model = dict(
    token_size=4,  # a region is pooled to 4 x 4 tokens
    loss=dict(
        _delete_=True,
        type='WeightedLosses',
        losses=dict(
            align=_base_.model.loss,
            correlate=dict(type='CorrelationDistillationLoss', scope='region', kind='kl', temperature=0.2)),
        weights=dict(align=1.0, correlate=1.0)))
default_hooks = dict(correlate=dict(type='CorrelationTeacherHook', scope='region'))
