# CLIPSelf with correlation distillation; see configs/correlation/README.md. One frozen student serves both hooks.
_base_ = './clipself.py'

model = dict(
    loss=dict(
        _delete_=True,
        type='WeightedLosses',
        losses=dict(
            distill=dict(type='FeatureDistillationLoss'),
            correlate=dict(type='CorrelationDistillationLoss', scope='image')),
        weights=dict(distill=1.0, correlate=0.1)))
default_hooks = dict(correlate=dict(type='CorrelationTeacherHook', scope='image'))
