# F-ViT: 8 GPUs x 8 images; OV-COCO 3 epochs, the learning rate never drops, since longer training over-fits to base
# classes. Every number is that of the published configs.
train_cfg = dict(type='densevlm_mm.ResumableEpochBasedTrainLoop', max_epochs=3, val_interval=1)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')

optim_wrapper = dict(
    type='densevlm_mm.FiniteOptimWrapper',  # published: float16; here --amp
    constructor='densevlm_mm.GroupedOptimWrapperConstructor',
    optimizer=dict(type='AdamW', lr=1e-4, betas=(0.9, 0.999), weight_decay=0.1),
    paramwise_cfg=dict(norm_decay_mult=1.),  # one group of what trains; without this line the frozen tower is in it too
    clip_grad=dict(max_norm=1.0, norm_type=2))
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-3, by_epoch=False, begin=0, end=250),
]
auto_scale_lr = dict(enable=True, base_batch_size=64)
