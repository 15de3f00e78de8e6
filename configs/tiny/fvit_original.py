# F-ViT on TinyScenes with the original tiny CLIP as backbone: 15 base things annotated in training, 5 novel ones.
# In the making (no figures yet): the full-size configs follow.
default_scope = 'mmdet'
custom_imports = dict(imports=['densevlm_mm.detection'], allow_failed_imports=False)

data_root = 'data/tiny_scenes'
split = dict(
    classes=('boat', 'surfboard', 'kite', 'plane', 'car', 'bus', 'sheep', 'cow', 'skis', 'snowboard', 'umbrella',
             'ball', 'clock', 'picture', 'chair', 'lamp', 'bear', 'tent', 'bike', 'cup'),
    base_classes=('boat', 'kite', 'plane', 'car', 'sheep', 'skis', 'umbrella', 'ball', 'clock', 'picture', 'chair',
                  'lamp', 'bear', 'tent', 'bike'),
    novel_classes=('surfboard', 'bus', 'cow', 'snowboard', 'cup'))
clip = 'densevlm_mm/assets/tiny_scenes_student.safetensors'
norm = dict(type='BN')
strides = [2, 4, 8, 16, 32]  # of the 8-pixel patch's pyramid

model = dict(
    type='FViT',
    data_preprocessor=dict(
        type='DetDataPreprocessor',
        mean=[122.771, 116.746, 104.094],
        std=[68.501, 66.632, 70.323],
        bgr_to_rgb=True),
    backbone=dict(
        type='densevlm_mm.DenseVLMBackbone',
        encoder=dict(type='densevlm_mm.DenseImageEncoder', model_name='TinyScenes-S', checkpoint=clip),
        out_indices=(0, 0, 1, 1),
        norm_cfg=norm),
    neck=dict(type='FPN', in_channels=[96] * 4, out_channels=64, num_outs=5, norm_cfg=norm),
    rpn_head=dict(
        type='RPNHead',
        num_convs=2,
        in_channels=64,
        feat_channels=64,
        anchor_generator=dict(type='AnchorGenerator', scales=[8], ratios=[0.5, 1.0, 2.0], strides=strides),
        bbox_coder=dict(type='DeltaXYWHBBoxCoder', target_means=[0.] * 4, target_stds=[1.] * 4),
        loss_cls=dict(type='CrossEntropyLoss', use_sigmoid=True, loss_weight=1.0),
        loss_bbox=dict(type='L1Loss', loss_weight=1.0)),
    roi_head=dict(
        type='FViTRoIHead',
        bbox_roi_extractor=dict(
            type='SingleRoIExtractor',
            roi_layer=dict(type='RoIAlign', output_size=7, sampling_ratio=0),
            out_channels=64,
            featmap_strides=strides[:4],
            finest_scale=14),
        vlm_roi_extractor=dict(
            type='SingleRoIExtractor',
            roi_layer=dict(type='RoIAlign', output_size=1, sampling_ratio=0, aligned=True),
            out_channels=128,
            featmap_strides=[8]),
        bbox_head=dict(
            type='CosineBBoxHead',
            num_classes=20,
            class_embeddings=dict(
                vocabulary='ov_tiny_scenes_20',
                extra_classes=('background',),
                templates='tiny_scenes',
                model_name='TinyScenes-S',
                checkpoint=clip),
            novel_classes='ov_tiny_scenes_20',
            background_weight=0.6,
            alpha=0.1,
            beta=0.8,
            in_channels=64,
            conv_out_channels=64,
            fc_out_channels=128,
            num_shared_convs=1,
            num_shared_fcs=1,
            num_cls_fcs=1,
            num_reg_fcs=1,
            norm_cfg=norm,
            bbox_coder=dict(
                type='DeltaXYWHBBoxCoder', target_means=[0.] * 4, target_stds=[0.1, 0.1, 0.2, 0.2]),
            loss_bbox=dict(type='L1Loss', loss_weight=1.0))),
    train_cfg=dict(
        rpn=dict(
            assigner=dict(type='MaxIoUAssigner', pos_iou_thr=0.7, neg_iou_thr=0.3, min_pos_iou=0.3),
            sampler=dict(type='RandomSampler', num=256, pos_fraction=0.5, add_gt_as_proposals=False),
            allowed_border=-1, pos_weight=-1, debug=False),
        rpn_proposal=dict(nms_pre=500, max_per_img=200, nms=dict(type='nms', iou_threshold=0.7), min_bbox_size=0),
        rcnn=dict(
            assigner=dict(type='MaxIoUAssigner', pos_iou_thr=0.5, neg_iou_thr=0.5, min_pos_iou=0.5,
                          match_low_quality=False),
            sampler=dict(type='RandomSampler', num=64, pos_fraction=0.25, add_gt_as_proposals=True),
            pos_weight=-1, debug=False)),
    test_cfg=dict(
        rpn=dict(nms_pre=500, max_per_img=200, nms=dict(type='nms', iou_threshold=0.7), min_bbox_size=0),
        rcnn=dict(score_thr=0.01, nms=dict(type='nms', iou_threshold=0.4), max_per_img=100)))

meta_keys = ('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor')
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(type='Resize', scale=(64, 64), keep_ratio=True),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackDetInputs'),
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(type='Resize', scale=(64, 64), keep_ratio=True),
    dict(type='PackDetInputs', meta_keys=meta_keys),
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

train_cfg = dict(type='densevlm_mm.ResumableEpochBasedTrainLoop', max_epochs=1, val_interval=1)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
optim_wrapper = dict(
    type='OptimWrapper',
    constructor='densevlm_mm.GroupedOptimWrapperConstructor',
    optimizer=dict(type='AdamW', lr=1e-3, weight_decay=0.1),
    paramwise_cfg=dict(norm_decay_mult=0.),
    clip_grad=dict(max_norm=1.0, norm_type=2))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.001, by_epoch=False, begin=0, end=50),
    dict(type='CosineAnnealingLR', eta_min=0., by_epoch=False),
]
default_hooks = dict(
    timer=dict(type='IterTimerHook'),
    logger=dict(type='LoggerHook', interval=25),
    param_scheduler=dict(type='ParamSchedulerHook'),
    checkpoint=dict(type='CheckpointHook', by_epoch=False, interval=100, max_keep_ckpts=2, save_last=True),
    strict_checkpoint=dict(type='densevlm_mm.StrictCheckpointHook'),
    sampler_seed=dict(type='DistSamplerSeedHook'),
    visualization=dict(type='DetVisualizationHook'))
visualizer = dict(
    type='DetLocalVisualizer', vis_backends=[dict(type='LocalVisBackend')], name='visualizer')
log_processor = dict(type='LogProcessor', window_size=50, by_epoch=True)
env_cfg = dict(cudnn_benchmark=False, mp_cfg=dict(mp_start_method='fork', opencv_num_threads=0))
randomness = dict(seed=0)
log_level = 'INFO'
load_from = None
resume = False
