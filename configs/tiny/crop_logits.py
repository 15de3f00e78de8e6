# Table 2, logits of a larger teacher on crops: DenseVLM's loss, its targets from image crops.
_base_ = './densevlm.py'

default_hooks = dict(
    teacher=dict(
        _delete_=True,
        type='CropTeacherHook',
        with_logits=True,
        teacher=dict(
            type='DenseImageEncoder',
            model_name='TinyScenes-T',
            checkpoint='densevlm_mm/tiny_scenes/assets/tiny_scenes_teacher.safetensors')))
