# DenseVLM with image-level retention (ours, configs/retention): the global path is held where the texts expect it.
_base_ = './densevlm.py'

model = dict(
    loss=dict(
        _delete_=True,
        type='WeightedLosses',
        losses=dict(align=_base_.model.loss, retain=dict(type='RetentionLoss')),
        weights=dict(align=1., retain=10.)))  # --cfg-options model.loss.weights.retain=30
default_hooks = dict(retention=dict(type='RetentionHook'))  # its teacher is the initial student
