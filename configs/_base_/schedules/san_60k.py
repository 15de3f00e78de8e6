# SAN's published training: 32 images an iteration, 60k iterations of COCO-Stuff.
train_cfg = dict(type='densevlm_mm.ResumableIterBasedTrainLoop', max_iters=60000, val_interval=10000)

optim_wrapper = dict(
    type='densevlm_mm.AutocastOptimWrapper',
    dtype='float16',  # published; bfloat16 needs no loss scale and is the fast one on CPUs
    constructor='densevlm_mm.GroupedOptimWrapperConstructor',
    optimizer=dict(type='AdamW', lr=1e-4, betas=(0.9, 0.999), weight_decay=1e-4),
    # No decay for norms, position and query embeddings, as published; mmseg's keys (img_encoder, norm) match nothing.
    paramwise_cfg=dict(
        norm_decay_mult=0.,
        custom_keys={
            'pos_embed': dict(decay_mult=0.),
            'query_embed': dict(decay_mult=0.),
            # mmseg's LayerNorm2d, which mmengine does not know as a norm.
            'conv_clips.0.0': dict(decay_mult=0.),
            'conv_clips.1.0': dict(decay_mult=0.),
            'conv_clips.2.0': dict(decay_mult=0.),
            'conv_clips.3.0': dict(decay_mult=0.),
        }),
    clip_grad=dict(max_norm=0.01, norm_type=2))
# Power 0.9 is published, mmseg's config has 1.
param_scheduler = [dict(type='PolyLR', eta_min=0., power=0.9, begin=0, end=60000, by_epoch=False)]
auto_scale_lr = dict(enable=True, base_batch_size=32)
