# RegionCLIP-style pretraining (arXiv 2112.09106) on annotated boxes of things: perfect labels, but no stuff.
_base_ = './densevlm_proposals.py'

model = dict(loss=dict(_delete_=True, type='RegionContrastiveLoss', num_classes=100, temperature=0.01))
default_hooks = dict(teacher=dict(_delete_=True, type='RegionLabelHook'))
