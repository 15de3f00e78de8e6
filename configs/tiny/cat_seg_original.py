# CAT-Seg on TinyScenes with the original tiny CLIP: trained on the 24 seen classes, tested on all 32. About three minutes
# of one core.
_base_ = ['../_base_/datasets/seg_tiny_scenes.py', '../_base_/seg_runtime.py']

clip = dict(model_name='TinyScenes-S', checkpoint='densevlm_mm/tiny_scenes/assets/tiny_scenes_student.safetensors')
model = dict(
    type='CATSeg',
    image_encoder=dict(
        type='densevlm_mm.DenseImageEncoder',
        image_size=64,
        trainable='query_value',
        dense_residual='token',  # the tiny towers have no class token
        **clip),
    text_encoder=dict(type='densevlm_mm.ClipTextEncoder', trainable='query_value', **clip),
    guidance_indices=(0, 1),
    decode_head=dict(
        type='CATSegHead',
        guidance_channels=(32, 16),
        aggregator=dict(
            channels=32,
            num_prompts=2,
            num_layers=2,
            num_heads=2,
            window_size=4,
            decoder_guidance_channels=(4, 4),
            decoder_channels=(16, 8),
            max_classes=32),
        loss_decode=dict(type='PixelBinaryCrossEntropyLoss', ignored='excluded')),
    vocabulary={{_base_.seen_classes}},
    test_vocabulary='tiny_scenes',
    templates='tiny_scenes',
    test_cfg=dict(mode='whole'))

train_dataloader = dict(
    batch_size=16,
    dataset=dict(dataset=dict(metainfo=dict(classes={{_base_.seen_classes}}))))
val_dataloader = dict(batch_size=20)
test_dataloader = val_dataloader

optim_wrapper = dict(
    type='densevlm_mm.AutocastOptimWrapper',
    dtype='bfloat16',
    constructor='densevlm_mm.GroupedOptimWrapperConstructor',
    optimizer=dict(type='AdamW', lr=5e-3, weight_decay=1e-4),
    clip_grad=dict(max_norm=1.0),
    paramwise_cfg=dict(
        norm_decay_mult=0.,
        custom_keys=dict(image_encoder=dict(lr_mult=0.05), text_encoder=dict(lr_mult=0.05))))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=30),
    dict(type='CosineAnnealingLR', eta_min=0., by_epoch=False),
]
train_cfg = dict(type='densevlm_mm.ResumableIterBasedTrainLoop', max_iters=280, val_interval=280)
default_hooks = dict(logger=dict(interval=25), checkpoint=dict(interval=140))
