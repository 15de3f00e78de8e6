# F-ViT in OV-LVIS's manner on TinyScenes: LVIS annotation files, normed RPN, masks, rare classes as novel.
_base_ = './fvit_original.py'

norm = dict(type='SyncBN')
strides = [2, 4, 8, 16]
model = dict(
    data_preprocessor=dict(pad_mask=True),
    rpn_head=dict(type='NormedRPNHead', norm_cfg=norm),
    roi_head=dict(
        bbox_head=dict(background_weight=0.9, vlm_temperature=50.0, beta=0.6),
        mask_roi_extractor=dict(
            type='SingleRoIExtractor',
            roi_layer=dict(type='RoIAlign', output_size=14, sampling_ratio=0),
            out_channels=64,
            featmap_strides=strides,
            finest_scale=14),
        mask_head=dict(
            type='FCNMaskHead',
            num_convs=2,
            in_channels=64,
            conv_out_channels=64,
            num_classes=20,
            class_agnostic=True,
            norm_cfg=norm,
            loss_mask=dict(type='CrossEntropyLoss', use_mask=True, loss_weight=1.0))),
    train_cfg=dict(rcnn=dict(assigner=dict(match_low_quality=True), mask_size=28)),
    test_cfg=dict(
        rcnn=dict(score_thr=1e-4, nms=dict(iou_threshold=0.5), max_per_img=300, mask_thr_binary=0.5)))

train_pipeline = [
    dict(type='densevlm_mm.LoadImage'),
    dict(type='LoadAnnotations', with_bbox=True, with_mask=True),
    dict(type='Resize', scale=(64, 64), keep_ratio=True),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackDetInputs'),
]
train_dataloader = dict(
    dataset=dict(
        dataset=dict(
            type='mmdet.OVLVISDataset',
            ann_file='annotations/lvis_train.json',
            data_prefix=dict(img=''),
            filter_cfg=dict(filter_empty_gt=True),
            pipeline=train_pipeline)))
val_dataloader = dict(
    dataset=dict(type='OVLVISDataset', ann_file='annotations/lvis_val.json', data_prefix=dict(img='')))
test_dataloader = val_dataloader
val_evaluator = dict(
    _delete_=True, type='OVLVISMetric', ann_file='data/tiny_scenes/annotations/lvis_val.json', metric=['bbox', 'segm'])
test_evaluator = val_evaluator
