# CLIPSelf with image-level retention (ours, configs/retention); both hooks share the frozen initial student.
_base_ = './clipself.py'

model = dict(
    loss=dict(
        _delete_=True,
        type='WeightedLosses',
        losses=dict(distill=_base_.model.loss, retain=dict(type='RetentionLoss')),
        weights=dict(distill=1., retain=1.)))
default_hooks = dict(retention=dict(type='RetentionHook'))
