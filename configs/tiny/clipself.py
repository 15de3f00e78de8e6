# CLIPSelf (arXiv 2310.01403) on TinyScenes: the teacher is the frozen initial student on image crops.
_base_ = './densevlm.py'

train_pipeline = _base_.train_pipeline
train_pipeline[2].max_grid = 3
model = dict(loss=dict(_delete_=True, type='FeatureDistillationLoss'))
default_hooks = dict(
    teacher=dict(
        _delete_=True,
        type='CropTeacherHook',
        teacher=dict(
            type='DenseImageEncoder',
            model_name='TinyScenes-S',
            checkpoint='densevlm_mm/tiny_scenes/assets/tiny_scenes_student.safetensors')))
train_dataloader = dict(dataset=dict(dataset=dict(pipeline=train_pipeline)))
