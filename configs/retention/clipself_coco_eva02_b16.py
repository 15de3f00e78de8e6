# CLIPSelf on COCO with image-level retention: everything else is as in configs/clipself/clipself_coco_eva02_b16.py. Not
# of the CLIPSelf paper; not trained by this project. Both losses are cosines: weight 1, ours.
_base_ = '../clipself/clipself_coco_eva02_b16.py'

model = dict(
    loss=dict(
        _delete_=True,
        type='WeightedLosses',
        losses=dict(distill=_base_.model.loss, retain=dict(type='RetentionLoss')),
        weights=dict(distill=1., retain=1.)))
default_hooks = dict(retention=dict(type='RetentionHook', view='centre'))  # shares CLIPSelf's teacher
