# F-ViT, EVA02-CLIP ViT-L/14-336 as released, OV-COCO. The authors: epoch 2 is often the best.
_base_ = [
    '../_base_/models/fvit_l14.py',
    '../_base_/datasets/ov_coco.py',
    '../_base_/schedules/fvit.py',
    '../_base_/det_runtime.py',
]

image_size = (896, 896)
train_pipeline = [
    dict(type='densevlm_mm.LoadImage'),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(type='RandomResize', scale=image_size, ratio_range=(0.1, 2.0), keep_ratio=True),
    dict(type='RandomCrop', crop_size=image_size, crop_type='absolute', recompute_bbox=True, allow_negative_crop=True),
    dict(type='FilterAnnotations', min_gt_bbox_wh=(1e-2, 1e-2)),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackDetInputs'),
]
test_pipeline = [
    dict(type='densevlm_mm.LoadImage'),
    dict(type='Resize', scale=image_size, keep_ratio=True),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(type='PackDetInputs', meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor')),
]
train_dataloader = dict(dataset=dict(dataset=dict(pipeline=train_pipeline)))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader

default_hooks = dict(checkpoint=dict(save_best='coco/novel_ap50', rule='greater'))
