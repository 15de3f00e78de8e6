# F-ViT on TinyScenes over the original tiny CLIP: 400 iterations, three minutes on one core.
_base_ = [
    '../_base_/models/fvit.py',
    '../_base_/datasets/ov_tiny_scenes.py',
    '../_base_/schedules/fvit.py',
    '../_base_/det_runtime.py',
]

clip = 'densevlm_mm/tiny_scenes/assets/tiny_scenes_student.safetensors'
strides = [2, 4, 8, 16, 32]  # of the 8-pixel patch's pyramid
rpn_proposal = dict(nms_pre=500, max_per_img=200)

model = dict(
    data_preprocessor=dict(pad_size_divisor=64, mean=[122.771, 116.746, 104.094], std=[68.501, 66.632, 70.323]),
    backbone=dict(encoder=dict(model_name='TinyScenes-S', checkpoint=clip), out_indices=(0, 0, 1, 1)),
    neck=dict(in_channels=[96] * 4, out_channels=64),
    rpn_head=dict(in_channels=64, feat_channels=64, anchor_generator=dict(strides=strides)),
    roi_head=dict(
        bbox_roi_extractor=dict(out_channels=64, featmap_strides=strides[:4], finest_scale=14),
        vlm_roi_extractor=dict(out_channels=128, featmap_strides=[8]),
        bbox_head=dict(
            num_classes=20,
            class_embeddings=dict(
                vocabulary='ov_tiny_scenes_20',
                templates='tiny_scenes',
                model_name='TinyScenes-S',
                checkpoint=clip),
            novel_classes='ov_tiny_scenes_20',
            in_channels=64,
            conv_out_channels=64,
            fc_out_channels=128,
            num_shared_convs=1,
            num_shared_fcs=1)),
    train_cfg=dict(rpn_proposal=rpn_proposal, rcnn=dict(sampler=dict(num=64))),
    test_cfg=dict(rpn=rpn_proposal))

train_cfg = dict(max_epochs=1)
optim_wrapper = dict(optimizer=dict(lr=1e-3), paramwise_cfg=dict(norm_decay_mult=0.))
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-3, by_epoch=False, begin=0, end=50),
    dict(type='CosineAnnealingLR', eta_min=0., by_epoch=False),
]
auto_scale_lr = dict(enable=False, base_batch_size=16)
default_hooks = dict(logger=dict(interval=25), checkpoint=dict(interval=100, max_keep_ckpts=2))
