default_scope = 'mmseg'
custom_imports = dict(imports=['densevlm_mm.segmentation'], allow_failed_imports=False)

default_hooks = dict(
    timer=dict(type='IterTimerHook'),
    logger=dict(type='LoggerHook', interval=50, log_metric_by_epoch=False),
    param_scheduler=dict(type='ParamSchedulerHook'),
    checkpoint=dict(
        type='densevlm_mm.AtomicCheckpointHook', by_epoch=False, interval=4000, max_keep_ckpts=3, save_last=True),
    strict_checkpoint=dict(type='densevlm_mm.StrictCheckpointHook'),
    class_agreement=dict(type='densevlm_mm.ClassAgreementHook'),
    normalization_check=dict(type='densevlm_mm.NormalizationCheckHook'),
    prepare_classes=dict(type='densevlm_mm.PrepareClassesHook'),
    sampler_seed=dict(type='DistSamplerSeedHook'),
    iteration_seed=dict(type='densevlm_mm.IterationSeedHook'),  # a resumed run draws the same points
    output_names=dict(type='densevlm_mm.OutputNameHook'),
    evaluation_record=dict(type='densevlm_mm.EvaluationRecordHook'),  # what the figures are of
    visualization=dict(type='LegendSegVisualizationHook'))

env_cfg = dict(
    cudnn_benchmark=True,
    mp_cfg=dict(mp_start_method='fork', opencv_num_threads=0),
    dist_cfg=dict(backend='nccl'))

visualizer = dict(
    type='LegendSegVisualizer', vis_backends=[dict(type='LocalVisBackend')], name='visualizer')
tta_model = dict(type='MeanScoreTTAModel')
log_processor = dict(type='LogProcessor', window_size=50, by_epoch=False)
log_level = 'INFO'
# All randomness (order of images, augmentation) follows from this seed, the epoch and the image alone.
randomness = dict(seed=0)
load_from = None
resume = False
