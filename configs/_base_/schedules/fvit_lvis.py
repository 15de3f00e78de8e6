# F-ViT on OV-LVIS: "4x", 48 epochs of the plain list of images.
_base_ = './fvit.py'

train_cfg = dict(max_epochs=48, val_interval=12)
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-3, by_epoch=False, begin=0, end=250),
    dict(type='MultiStepLR', milestones=[32, 44], by_epoch=True, begin=0, end=48),
]
