# CLIPSelf (arXiv 2310.01403) on the tiny teacher, as the real teacher was refined; tools/tiny/make_assets.py runs it.
_base_ = './clipself.py'

raw = 'work_dirs/tiny_assets/teacher_raw.safetensors'
model = dict(encoder=dict(model_name='TinyScenes-T', checkpoint=raw))
default_hooks = dict(
    teacher=dict(teacher=dict(model_name='TinyScenes-T', checkpoint=raw)),
    weight_ensemble=dict(alpha=1.0))

train_dataloader = dict(batch_size=24, dataset=dict(dataset=dict(indices=3600)))  # 150 iterations
optim_wrapper = dict(optimizer=dict(lr=1e-4))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.1, by_epoch=False, begin=0, end=10),
    dict(type='CosineAnnealingLR', eta_min=0., by_epoch=False),
]
auto_scale_lr = dict(base_batch_size=24)
