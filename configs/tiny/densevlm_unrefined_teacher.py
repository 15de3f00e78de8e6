# An ablation of ours: the teacher before CLIPSelf, as tools/tiny/make_assets.py leaves it in its folder.
_base_ = './densevlm.py'

default_hooks = dict(teacher=dict(teacher=dict(checkpoint='work_dirs/tiny_assets/teacher_raw.safetensors')))
