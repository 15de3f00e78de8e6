default_scope = 'densevlm_mm'
custom_imports = dict(imports=['densevlm_mm'], allow_failed_imports=False)

default_hooks = dict(
    target_check=dict(type='TargetCheckHook'),
    runtime_info=dict(type='DeferredLogHook'),  # no wait for the GPU but where the log is written
    timer=dict(type='IterTimerHook'),
    throughput=dict(type='ThroughputHook'),
    logger=dict(type='LoggerHook', interval=50),
    param_scheduler=dict(type='ParamSchedulerHook'),
    # Checkpoints in the middle of an epoch too: --resume goes on exactly there.
    checkpoint=dict(type='AtomicCheckpointHook', by_epoch=False, interval=1000, max_keep_ckpts=3, save_last=True),
    strict_checkpoint=dict(type='StrictCheckpointHook'),
    class_agreement=dict(type='ClassAgreementHook'),
    normalization_check=dict(type='NormalizationCheckHook'),
    prepare_classes=dict(type='PrepareClassesHook'),
    encoder_metadata=dict(type='EncoderMetadataHook'),
    sampler_seed=dict(type='DistSamplerSeedHook'),
    skipped_images=dict(type='SkippedImagesHook'),
    output_names=dict(type='OutputNameHook'),
    evaluation_record=dict(type='EvaluationRecordHook'),  # what the figures are of
    visualization=dict(type='RegionVisualizationHook'))

env_cfg = dict(
    cudnn_benchmark=True,
    mp_cfg=dict(mp_start_method='fork', opencv_num_threads=0),
    dist_cfg=dict(backend='nccl'))

visualizer = dict(
    type='Visualizer', vis_backends=[dict(type='LocalVisBackend'), dict(type='TensorboardVisBackend')])
log_processor = dict(
    type='LogProcessor', by_epoch=True, window_size=50, mean_pattern=r'.*(loss|time|grad_norm|kept|confidence|accuracy|cosine|no_view|left_out|_value|images_per).*')
log_level = 'INFO'
# All randomness (order of images, grids) follows from this seed, the epoch and the image alone.
randomness = dict(seed=0)
load_from = None
resume = False
