# COCO-Stuff-164k, 171 classes: the training set of the segmentors. Evaluation comes from another base.
# tools/dataset_converters/coco_stuff164k.py data/coco makes the labels, beside the ones of the release.
crop_size = (640, 640)  # SAN

train_pipeline = [
    dict(type='densevlm_mm.LoadImage'),
    dict(type='LoadSegLabels'),
    dict(
        type='RandomChoiceResize',
        scales=[320, 384, 448, 512, 576, 640, 704, 768, 832, 896, 960],  # short side; SAN
        resize_type='ResizeShortestEdge',
        max_size=2560),
    dict(type='RandomCrop', crop_size=crop_size, cat_max_ratio=1.0),
    dict(type='PhotoMetricDistortion'),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackSegInputs'),
]
train_dataloader = dict(
    batch_size=4,
    num_workers=4,
    persistent_workers=True,
    pin_memory=True,
    drop_last=True,
    sampler=dict(type='densevlm_mm.ResumableSampler', shuffle=True),
    dataset=dict(
        type='densevlm_mm.SeededDataset',
        dataset=dict(
            type='mmseg.COCOStuff164kDataset',
            data_root='data/coco',
            data_prefix=dict(img_path='train2017', seg_map_path='stuffthingmaps/train2017'),
            pipeline=train_pipeline)))
