# CLIPSelf with boxes instead of grid cells.
_base_ = './densevlm_proposals.py'

model = dict(loss=dict(_delete_=True, type='FeatureDistillationLoss'))
default_hooks = dict(
    teacher=dict(
        _delete_=True,
        type='CropTeacherHook',
        teacher=dict(
            type='DenseImageEncoder',
            model_name='TinyScenes-S',
            checkpoint='densevlm_mm/tiny_scenes/assets/tiny_scenes_student.safetensors')))
