# Table 2, features of a larger teacher on crops, through a learned linear layer.
_base_ = './clipself.py'

model = dict(loss=dict(projection=(128, 128)))  # equal widths, but two spaces
default_hooks = dict(
    teacher=dict(
        teacher=dict(
            model_name='TinyScenes-T', checkpoint='densevlm_mm/tiny_scenes/assets/tiny_scenes_teacher.safetensors')))
