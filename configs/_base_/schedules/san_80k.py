# SAN in the DenseVLM paper: 80k iterations of COCO-Stuff; the rest is SAN's.
_base_ = './san_60k.py'

train_cfg = dict(max_iters=80000)
param_scheduler = [dict(type='PolyLR', eta_min=0., power=0.9, begin=0, end=80000, by_epoch=False)]
