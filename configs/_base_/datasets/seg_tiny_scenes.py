# TinyScenes' label maps: trained on 24 of the 32 classes, tested on all.
# python tools/dataset_converters/tiny_scenes.py data/tiny_scenes
data_root = 'data/tiny_scenes'
image_size = (64, 64)
held_out_classes = ('surfboard', 'bus', 'cow', 'snowboard', 'cup', 'snow', 'rock', 'carpet')
seen_classes = ('boat', 'kite', 'plane', 'car', 'sheep', 'skis', 'umbrella', 'ball', 'clock', 'picture', 'chair', 'lamp',
                'bear', 'tent', 'bike', 'sky', 'sea', 'grass', 'sand', 'road', 'bricks', 'floor', 'forest', 'curtain')

train_pipeline = [
    dict(type='densevlm_mm.LoadImage'),
    dict(type='LoadSegLabels'),
    dict(type='Resize', scale=image_size, keep_ratio=True),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackSegInputs'),
]
test_pipeline = [
    dict(type='densevlm_mm.LoadImage'),
    dict(type='Resize', scale=image_size, keep_ratio=True),
    dict(type='LoadSegLabels'),
    dict(type='PackSegInputs'),
]
tta_pipeline = [
    dict(type='densevlm_mm.LoadImage'),
    dict(
        type='TestTimeAug',
        transforms=[
            [dict(type='Resize', scale=image_size, keep_ratio=True)],
            [dict(type='RandomFlip', prob=0.), dict(type='RandomFlip', prob=1.)],
            [dict(type='LoadSegLabels')],
            [dict(type='PackSegInputs')],
        ]),
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
            type='mmseg.TinyScenesSegDataset',
            ignore_classes=held_out_classes,
            data_root=data_root,
            data_prefix=dict(img_path='train', seg_map_path='semantic_train'),
            pipeline=train_pipeline)))
val_dataloader = dict(
    batch_size=1,
    num_workers=1,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='TinyScenesSegDataset',
        data_root=data_root,
        data_prefix=dict(img_path='val', seg_map_path='semantic_val'),
        test_mode=True,
        pipeline=test_pipeline))
val_evaluator = dict(type='OpenVocabularyIoUMetric', vocabulary='tiny_scenes')
val_cfg = dict(type='ValLoop')

test_dataloader = val_dataloader
test_evaluator = val_evaluator
test_cfg = dict(type='TestLoop')
