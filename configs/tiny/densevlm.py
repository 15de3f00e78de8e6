# DenseVLM on TinyScenes: the committed tiny CLIPs, two minutes on two cores (make demo).
_base_ = ['../_base_/datasets/tiny_scenes.py', '../_base_/default_runtime.py']

model = dict(
    type='RegionPretrainer',
    encoder=dict(
        type='DenseImageEncoder',
        model_name='TinyScenes-S',
        checkpoint='densevlm_mm/tiny_scenes/assets/tiny_scenes_student.safetensors',
        trainable='blocks'),
    class_embeddings=dict(vocabulary='tiny_scenes', templates='tiny_scenes', normalization='class'),
    test_class_embeddings=dict(vocabulary='tiny_scenes'),  # with the same prompts
    loss=dict(
        type='DecoupledAlignmentLoss',
        thing_contrast='things',
        stuff_contrast='all',
        temperature=0.01,
        threshold=0.3,
        reduction='image'))  # of an image the mean over its kept regions, of a batch the mean over images (Sec. 3.2)

default_hooks = dict(
    teacher=dict(
        type='RegionRetrievalHook',
        teacher=dict(
            type='DenseImageEncoder',
            model_name='TinyScenes-T',
            checkpoint='densevlm_mm/tiny_scenes/assets/tiny_scenes_teacher.safetensors')),
    weight_ensemble=dict(type='WeightEnsembleHook', alpha=0.9),
    logger=dict(interval=25),
    checkpoint=dict(interval=100))

optim_wrapper = dict(
    type='FiniteOptimWrapper',
    constructor='GroupedOptimWrapperConstructor',
    optimizer=dict(type='AdamW', lr=6e-4, betas=(0.9, 0.98), weight_decay=0.1),
    paramwise_cfg=dict(norm_decay_mult=0., bias_decay_mult=0., flat_decay_mult=0.))
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-3, by_epoch=False, begin=0, end=30),
    dict(type='CosineAnnealingLR', eta_min=0., by_epoch=False),
]
train_cfg = dict(type='ResumableEpochBasedTrainLoop', max_epochs=1, val_interval=1)
auto_scale_lr = dict(enable=False, base_batch_size=40)
