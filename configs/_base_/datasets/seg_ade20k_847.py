# ADE20K-847 validation, 2,000 images: tools/dataset_converters/ade20k_847.py makes it.
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
        type='ADE20K847Dataset',
        data_root='data/ade20k_847',
        data_prefix=dict(img_path='images/validation', seg_map_path='annotations/validation'),
        test_mode=True,
        pipeline=test_pipeline))
val_evaluator = dict(type='OpenVocabularyIoUMetric', vocabulary='ade20k_847')
val_cfg = dict(type='ValLoop')

test_dataloader = val_dataloader
test_evaluator = val_evaluator
test_cfg = dict(type='TestLoop')
