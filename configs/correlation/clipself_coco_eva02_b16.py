# CLIPSelf with correlation distillation; one frozen copy of the student serves both hooks. The weight is our start of a
# sweep, see README.md.
_base_ = '../clipself/clipself_coco_eva02_b16.py'

model = dict(
    token_size=4,  # a region is pooled to 4 x 4 tokens
    loss=dict(
        _delete_=True,
        type='WeightedLosses',
        losses=dict(
            distill=dict(type='FeatureDistillationLoss'),
            correlate=dict(type='CorrelationDistillationLoss', scope='region', kind='kl', temperature=0.2)),
        weights=dict(distill=1.0, correlate=0.1)))
default_hooks = dict(correlate=dict(type='CorrelationTeacherHook', scope='region'))
