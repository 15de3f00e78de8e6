default_scope = 'densevlm_mm'
custom_imports = dict(imports=['densevlm_mm'], allow_failed_imports=False)

default_hooks = dict(
    timer=dict(type='IterTimerHook'),
    throughput=dict(type='ThroughputHook'),
    logger=dict(type='LoggerHook', interval=50),
    param_scheduler=dict(type='ParamSchedulerHook'),
    # Checkpoints in the middle of an epoch too: --resume goes on exactly there.
    checkpoint=dict(type='AtomicCheckpointHook', by_epoch=False, interval=1000, max_keep_ckpts=3, save_last=True),
    strict_checkpoint=dict(type='StrictCheckpointHook'),
    encoder_metadata=dict(type='EncoderMetadataHook'),
    sampler_seed=dict(type='DistSamplerSeedHook'),
    visualization=dict(type='RegionVisualizationHook'))

env_cfg = dict(
    cudnn_benchmark=True,
    mp_cfg=dict(mp_start_method='fork', opencv_num_threads=0),
    dist_cfg=dict(backend='nccl'))

visualizer = dict(
    type='Visualizer', vis_backends=[dict(type='LocalVisBackend'), dict(type='TensorboardVisBackend')])
log_processor = dict(
    type='LogProcessor', by_epoch=True, window_size=50, mean_pattern=r'.*(loss|time|grad_norm|kept|confidence|images_per).*')
log_level = 'INFO'
# All randomness (order of images, grids) follows from this seed, the epoch and the image alone.
randomness = dict(seed=0)
load_from = None
resume = False
