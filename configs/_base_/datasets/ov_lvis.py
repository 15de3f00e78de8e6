# OV-LVIS: LVIS v1 with its 337 rare classes as novel, from the official annotation files; no repeat-factor sampling.
# Published: images of 1024 pixels for ViT-B/16, 896 for ViT-L/14.
data_root = 'data/lvis'  # annotations/, train2017/ and val2017/ (COCO's images)
image_size = (1024, 1024)
train_pipeline = [
    dict(type='densevlm_mm.LoadImage'),
    dict(type='LoadAnnotations', with_bbox=True, with_mask=True),
    dict(type='RandomResize', scale=image_size, ratio_range=(0.1, 2.0), keep_ratio=True),
    dict(type='RandomCrop', crop_size=image_size, crop_type='absolute', recompute_bbox=True, allow_negative_crop=True),
    dict(type='FilterAnnotations', min_gt_bbox_wh=(1e-2, 1e-2)),  # an image that lost all boxes is drawn anew
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackDetInputs'),
]
test_pipeline = [
    dict(type='densevlm_mm.LoadImage'),
    dict(type='Resize', scale=image_size, keep_ratio=True),
    dict(type='LoadAnnotations', with_bbox=True, with_mask=True),
    dict(type='PackDetInputs', meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor')),
]

train_dataloader = dict(
    batch_size=8,  # 8 GPUs
    num_workers=4,
    persistent_workers=True,
    drop_last=True,
    sampler=dict(type='densevlm_mm.ResumableSampler', shuffle=True),
    dataset=dict(
        type='densevlm_mm.SeededDataset',
        dataset=dict(
            type='mmdet.OVLVISDataset',
            drop_novel=True,
            data_root=data_root,
            ann_file='annotations/lvis_v1_train.json',
            data_prefix=dict(img=''),  # the files' coco_url holds the folder
            filter_cfg=dict(filter_empty_gt=True),
            pipeline=train_pipeline)))
val_dataloader = dict(
    batch_size=1,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='OVLVISDataset',
        drop_novel=False,
        data_root=data_root,
        ann_file='annotations/lvis_v1_val.json',
        data_prefix=dict(img=''),
        test_mode=True,
        pipeline=test_pipeline))
test_dataloader = val_dataloader
# APr is the AP of the novel classes: lvis/segm_APr, and lvis/bbox_APr for boxes.
val_evaluator = dict(type='OVLVISMetric', ann_file=data_root + '/annotations/lvis_v1_val.json', metric=['bbox', 'segm'])
test_evaluator = val_evaluator
