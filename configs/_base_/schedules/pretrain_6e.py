optim_wrapper = dict(
    type='FiniteOptimWrapper',  # --amp: AutocastOptimWrapper
    constructor='GroupedOptimWrapperConstructor',
    optimizer=dict(
        type='AdamW',
        lr=1e-5,  # Sec. 4.1; the supplement's Table 9 says 1e-4
        betas=(0.9, 0.98),  # Table 9
        weight_decay=0.1,  # Sec. 4.1
        fused=True),  # one pass over weights and states, on GPU and CPU
    paramwise_cfg=dict(norm_decay_mult=0., bias_decay_mult=0., flat_decay_mult=0.))

param_scheduler = [
    # The factors multiply: a cosine to 0 over the whole run, with 1000 iterations of warm-up.
    dict(type='LinearLR', start_factor=1e-3, by_epoch=False, begin=0, end=1000),
    dict(type='CosineAnnealingLR', eta_min=0., by_epoch=False),
]

train_cfg = dict(type='ResumableEpochBasedTrainLoop', max_epochs=6, val_interval=1)  # Sec. 4.1
auto_scale_lr = dict(enable=False, base_batch_size=64)  # 4 GPUs x 16
