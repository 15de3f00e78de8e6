# Region classification on COCO panoptic val2017: 80 things by boxes and masks, 53 stuff classes by masks (Table 1).
test_pipeline = [
    dict(type='LoadImage'),
    dict(type='ResizeLongestSide', size=512),
    dict(type='PadToSquare', size=512),
    dict(type='LoadPanopticRegions', feature_stride=16),
    dict(type='PackRegionInputs'),
]
val_dataloader = dict(
    batch_size=16,
    num_workers=4,
    persistent_workers=True,
    drop_last=False,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='PanopticRegionDataset',
        data_root='data/coco',
        ann_file='annotations/panoptic_val2017.json',
        data_prefix=dict(img='val2017', seg='annotations/panoptic_val2017'),
        vocabulary='coco_panoptic_133',
        pipeline=test_pipeline))
val_evaluator = dict(type='RegionClassificationMetric')
val_cfg = dict(type='ValLoop')

test_dataloader = val_dataloader
test_evaluator = val_evaluator
test_cfg = dict(type='TestLoop')
