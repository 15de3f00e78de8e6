# COCO-Stuff-164k as CAT-Seg trains on it: short side 384, crops of 384 pixels.
_base_ = './seg_coco_stuff164k.py'

train_pipeline = [
    dict(type='densevlm_mm.LoadImage'),
    dict(type='LoadSegLabels'),
    dict(type='ResizeShortestEdge', scale=384, max_size=1333),
    dict(type='RandomCrop', crop_size=(384, 384), cat_max_ratio=1.0),
    dict(type='PhotoMetricDistortion'),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackSegInputs'),
]
train_dataloader = dict(
    batch_size=4,  # in all: one GPU, or four with batch_size=1
    dataset=dict(dataset=dict(pipeline=train_pipeline)))
