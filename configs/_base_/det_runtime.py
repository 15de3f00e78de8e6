# Runtime of the detectors: mmdet's, with our exact resume and strict checkpoints.
default_scope = 'mmdet'
custom_imports = dict(imports=['densevlm_mm.detection'], allow_failed_imports=False)

default_hooks = dict(
    timer=dict(type='IterTimerHook'),
    throughput=dict(type='densevlm_mm.ThroughputHook'),
    logger=dict(type='LoggerHook', interval=50),
    param_scheduler=dict(type='ParamSchedulerHook'),
    # Checkpoints in the middle of an epoch too: --resume goes on exactly there.
    checkpoint=dict(
        type='densevlm_mm.AtomicCheckpointHook', by_epoch=False, interval=1000, max_keep_ckpts=3, save_last=True),
    strict_checkpoint=dict(type='densevlm_mm.StrictCheckpointHook'),
    class_agreement=dict(type='densevlm_mm.ClassAgreementHook'),
    normalization_check=dict(type='densevlm_mm.NormalizationCheckHook'),
    prepare_classes=dict(type='densevlm_mm.PrepareClassesHook'),
    sampler_seed=dict(type='DistSamplerSeedHook'),
    iteration_seed=dict(type='densevlm_mm.IterationSeedHook'),  # a resumed run samples the same boxes
    output_names=dict(type='densevlm_mm.OutputNameHook'),
    evaluation_record=dict(type='densevlm_mm.EvaluationRecordHook'),  # what the figures are of
    visualization=dict(type='NamedDetVisualizationHook'))

env_cfg = dict(
    cudnn_benchmark=False,
    mp_cfg=dict(mp_start_method='fork', opencv_num_threads=0),
    dist_cfg=dict(backend='nccl'))
visualizer = dict(
    type='OpenVocabularyDetVisualizer',
    vis_backends=[dict(type='LocalVisBackend'), dict(type='TensorboardVisBackend')],
    name='visualizer')
log_processor = dict(type='LogProcessor', window_size=50, by_epoch=True)
log_level = 'INFO'
randomness = dict(seed=0)
load_from = None
resume = False
