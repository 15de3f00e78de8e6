# Pascal-Context-459 validation (PC-459): tools/dataset_converters/pascal_context_459.py makes the labels.
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
        type='PascalContext459Dataset',
        data_root='data/pascal_context',
        ann_file='pascal_context_459_val.txt',
        data_prefix=dict(img_path='VOC2010/JPEGImages', seg_map_path='annotations_459'),
        test_mode=True,
        pipeline=test_pipeline))
val_evaluator = dict(type='OpenVocabularyIoUMetric', vocabulary='pascal_context_459')
val_cfg = dict(type='ValLoop')

test_dataloader = val_dataloader
test_evaluator = val_evaluator
test_cfg = dict(type='TestLoop')
