# Pascal-Context-59 validation (PC-59), in the layout of mmsegmentation's converter of it.
test_pipeline = [
    dict(type='densevlm_mm.LoadImage'),
    dict(type='ResizeShortestEdge', scale=640, max_size=2560),
    dict(type='LoadSegLabels'),  # after the resize: labels are scored at their own size
    dict(type='PackSegInputs'),
]
tta_pipeline = [
    dict(type='densevlm_mm.LoadImage'),
    dict(
        type='TestTimeAug',
        transforms=[
            [dict(type='ResizeShortestEdge', scale=640, max_size=2560)],
            [dict(type='RandomFlip', prob=0.), dict(type='RandomFlip', prob=1.)],
            [dict(type='LoadSegLabels')],
            [dict(type='PackSegInputs')],
        ]),
]
val_dataloader = dict(
    batch_size=1,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='PascalContext59Dataset',
        data_root='data/pascal_context/VOC2010',
        ann_file='ImageSets/SegmentationContext/val.txt',
        data_prefix=dict(img_path='JPEGImages', seg_map_path='SegmentationClassContext'),
        test_mode=True,
        pipeline=test_pipeline))
val_evaluator = dict(type='OpenVocabularyIoUMetric', vocabulary='pascal_context_59')
val_cfg = dict(type='ValLoop')

test_dataloader = val_dataloader
test_evaluator = val_evaluator
test_cfg = dict(type='TestLoop')
