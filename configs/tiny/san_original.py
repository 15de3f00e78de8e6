# SAN on TinyScenes over the original tiny CLIP, trained on 24 of the 32 classes and tested on all.
# The tower pools by the mean: its blocks are tapped and masks recognised by pooling, see TowerTaps.
_base_ = [
    '../_base_/datasets/seg_tiny_scenes.py',
    '../_base_/schedules/san_60k.py',
    '../_base_/seg_runtime.py',
]

clip = 'densevlm_mm/tiny_scenes/assets/tiny_scenes_student.safetensors'

model = dict(
    type='OpenVocabularySAN',
    data_preprocessor=dict(
        type='SegDataPreProcessor',
        mean=[122.771, 116.746, 104.094],
        std=[68.501, 66.632, 70.323],
        bgr_to_rgb=True,
        size=(64, 64)),
    class_embeddings=dict(
        vocabulary='tiny_scenes_seen_24', templates='tiny_scenes', model_name='TinyScenes-S', checkpoint=clip),
    test_class_embeddings=dict(vocabulary='tiny_scenes'),
    asymetric_input=False,
    image_encoder=dict(
        type='TowerTaps',
        encoder=dict(type='densevlm_mm.DenseImageEncoder', model_name='TinyScenes-S', checkpoint=clip),
        out_indices=(0,)),
    decode_head=dict(
        type='OpenVocabularySANHead',
        deep_supervision_idxs=[2],
        san_cfg=dict(
            in_channels=3,
            clip_channels=96,
            embed_dims=96,
            patch_size=4,
            num_queries=24,
            input_size=(64, 64),
            fusion_index=[0, 1],
            cfg_encoder=dict(num_encode_layer=3, num_heads=2, mlp_ratio=2),
            cfg_decoder=dict(
                num_heads=1, num_layers=1, embed_channels=64, mlp_channels=64, num_mlp=3, rescale=True),
            norm_cfg=dict(type='LN', eps=1e-6)),
        maskgen_cfg=dict(type='MaskPooledRecognition'),
        train_cfg=dict(
            num_points=1024,
            oversample_ratio=3.0,
            importance_sample_ratio=0.75,
            assigner=dict(
                type='HungarianAssigner',
                match_costs=[
                    dict(type='ClassificationCost', weight=2.0),
                    dict(type='CrossEntropyLossCost', weight=5.0, use_sigmoid=True),
                    dict(type='DiceCost', weight=5.0, pred_act=True, eps=1.0),
                ])),
        loss_decode=[
            dict(type='CrossEntropyLoss', loss_name='loss_cls_ce', loss_weight=2.0),
            dict(type='CrossEntropyLoss', use_sigmoid=True, loss_name='loss_mask_ce', loss_weight=5.0),
            dict(
                type='DiceLoss',
                ignore_index=None,
                naive_dice=True,
                eps=1,
                loss_name='loss_mask_dice',
                loss_weight=5.0),
        ]),
    test_cfg=dict(mode='whole'))

# Labels are those of the training vocabulary; the pixels of the other classes are ignored.
train_dataloader = dict(
    dataset=dict(dataset=dict(ignore_classes=(), metainfo=dict(classes={{_base_.seen_classes}}))))
val_dataloader = dict(batch_size=20)
test_dataloader = val_dataloader

train_cfg = dict(max_iters=700, val_interval=700)
optim_wrapper = dict(dtype='bfloat16', optimizer=dict(lr=2e-3, weight_decay=0.01), clip_grad=dict(max_norm=1.0))
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-3, by_epoch=False, begin=0, end=50),
    dict(type='CosineAnnealingLR', eta_min=0., by_epoch=False, T_max=700),
]
auto_scale_lr = dict(enable=False, base_batch_size=16)
default_hooks = dict(logger=dict(interval=25), checkpoint=dict(interval=350, max_keep_ckpts=2))
