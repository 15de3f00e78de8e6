# TinyScenes, the synthetic world of this project: python tools/dataset_converters/tiny_scenes.py data/tiny_scenes
data_root = 'data/tiny_scenes'
image_size = 64

train_pipeline = [
    dict(type='LoadImage'),
    dict(type='ResizeLongestSide', size=image_size),
    dict(type='GridRegions', mode='balanced', max_grid=4),
    dict(type='PadToSquare', size=image_size),
    dict(type='PackRegionInputs'),
]
test_pipeline = [
    dict(type='LoadImage'),
    dict(type='ResizeLongestSide', size=image_size),
    dict(type='PadToSquare', size=image_size),
    dict(type='LoadPanopticRegions', feature_stride=8),
    dict(type='PackRegionInputs'),
]
train_dataloader = dict(
    batch_size=40,  # 300 iterations an epoch of 12,000 images
    num_workers=1,
    persistent_workers=True,
    drop_last=True,
    sampler=dict(type='ResumableSampler', shuffle=True),
    collate_fn=dict(type='pseudo_collate'),
    dataset=dict(
        type='SeededDataset',
        dataset=dict(
            type='UnlabeledImageDataset',
            data_root=data_root,
            source='annotations/instances_train.json',
            data_prefix=dict(img='train'),
            pipeline=train_pipeline)))
val_dataloader = dict(
    batch_size=50,
    num_workers=1,
    drop_last=False,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='PanopticRegionDataset',
        data_root=data_root,
        ann_file='annotations/panoptic_val.json',
        data_prefix=dict(img='val', seg='panoptic_val'),
        vocabulary='tiny_scenes',
        pipeline=test_pipeline))
val_evaluator = dict(type='RegionClassificationMetric')
val_cfg = dict(type='ValLoop')

test_dataloader = val_dataloader
test_evaluator = val_evaluator
test_cfg = dict(type='TestLoop')
