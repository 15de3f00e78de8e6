# CAT-Seg's schedule: 80,000 iterations of 4 images in all, no warm-up, no mixed precision.
optim_wrapper = dict(
    type='densevlm_mm.FiniteOptimWrapper',  # --amp: AutocastOptimWrapper
    constructor='densevlm_mm.GroupedOptimWrapperConstructor',
    optimizer=dict(type='AdamW', lr=2e-4, betas=(0.9, 0.999), weight_decay=1e-4),
    clip_grad=dict(max_norm=0.01),
    paramwise_cfg=dict(
        norm_decay_mult=0.,
        custom_keys=dict(image_encoder=dict(lr_mult=0.01), text_encoder=dict(lr_mult=0.01))))
param_scheduler = [dict(type='CosineAnnealingLR', eta_min=0., by_epoch=False)]  # over the whole run

train_cfg = dict(type='densevlm_mm.ResumableIterBasedTrainLoop', max_iters=80000, val_interval=20000)
auto_scale_lr = dict(enable=False, base_batch_size=4)
