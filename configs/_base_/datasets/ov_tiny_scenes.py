# TinyScenes for open-vocabulary detection: 15 base things annotated in training, 5 novel ones.
# python tools/dataset_converters/tiny_scenes.py data/tiny_scenes
data_root = 'data/tiny_scenes'
split = dict(
    classes=('boat', 'surfboard', 'kite', 'plane', 'car', 'bus', 'sheep', 'cow', 'skis', 'snowboard', 'umbrella',
             'ball', 'clock', 'picture', 'chair', 'lamp', 'bear', 'tent', 'bike', 'cup'),
    base_classes=('boat', 'kite', 'plane', 'car', 'sheep', 'skis', 'umbrella', 'ball', 'clock', 'picture', 'chair',
                  'lamp', 'bear', 'tent', 'bike'),
    novel_classes=('surfboard', 'bus', 'cow', 'snowboard', 'cup'))

train_pipeline = [
    dict(type='densevlm_mm.LoadImage'),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(type='Resize', scale=(64, 64), keep_ratio=True),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackDetInputs'),
]
test_pipeline = [
    dict(type='densevlm_mm.LoadImage'),
    dict(type='Resize', scale=(64, 64), keep_ratio=True),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(type='PackDetInputs', meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor')),
]
train_dataloader = dict(
    batch_size=16,
    num_workers=1,
    persistent_workers=True,
    drop_last=True,
    sampler=dict(type='densevlm_mm.ResumableSampler', shuffle=True),
    dataset=dict(
        type='densevlm_mm.SeededDataset',
        dataset=dict(
            type='mmdet.OVCocoDataset',
            drop_novel=True,
            metainfo=split,
            data_root=data_root,
            ann_file='annotations/instances_train.json',
            data_prefix=dict(img='train'),
            indices=6400,
            pipeline=train_pipeline)))
val_dataloader = dict(
    batch_size=1,
    num_workers=1,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='OVCocoDataset',
        drop_novel=False,
        metainfo=split,
        data_root=data_root,
        ann_file='annotations/instances_val.json',
        data_prefix=dict(img='val'),
        test_mode=True,
        pipeline=test_pipeline))
test_dataloader = val_dataloader
val_evaluator = dict(type='OVCocoAP50Metric', ann_file=data_root + '/annotations/instances_val.json')
test_evaluator = val_evaluator
