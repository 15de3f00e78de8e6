# DenseVLM on COCO with image-level retention: everything else is as in configs/densevlm/pretrain_coco.py. Ours, not the
# paper's; not trained by this project. Both weights are ours: sweep {1, 10, 30, 100} and take the smallest that gives
# 95 % of the retrieval that the largest keeps.
_base_ = '../densevlm/pretrain_coco.py'

model = dict(
    loss=dict(
        _delete_=True,
        type='WeightedLosses',
        losses=dict(align=_base_.model.loss, retain=dict(type='RetentionLoss')),
        weights=dict(align=1., retain=10.)))  # of cosines over 0.01 and of cosines
default_hooks = dict(retention=dict(type='RetentionHook', view='centre'))  # its teacher is the initial student
