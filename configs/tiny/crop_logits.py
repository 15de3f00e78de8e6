# Table 2, row 3: logits of a larger teacher on image crops, without decoupling (every region against all classes).
_base_ = './densevlm.py'

model = dict(loss=dict(thing_contrast='all'))
default_hooks = dict(
    teacher=dict(
        _delete_=True,
        type='CropTeacherHook',
        with_logits=True,
        teacher=dict(
            type='DenseImageEncoder',
            model_name='TinyScenes-T',
            checkpoint='densevlm_mm/tiny_scenes/assets/tiny_scenes_teacher.safetensors')))
