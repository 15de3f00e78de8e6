# DenseVLM with image-level retention and captions (ours, configs/retention). Unlike all else here it reads annotations:
# one caption an image. Captions alone: --cfg-options model.loss.weights.retain=0
_base_ = './retention_densevlm.py'

model = dict(
    loss=dict(
        losses=dict(caption=dict(type='CaptionContrastLoss', temperature=0.01)),
        weights=dict(caption=0.1)))
default_hooks = dict(
    captions=dict(type='CaptionHook', captions=f'{_base_.data_root}/annotations/captions_train.json'))
