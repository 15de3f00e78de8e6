# The teacher of configs/tiny/densevlm.py, for evaluation:
# python tools/test.py configs/tiny/teacher.py densevlm_mm/tiny_scenes/assets/tiny_scenes_teacher.safetensors
_base_ = './densevlm.py'

model = dict(
    encoder=dict(model_name='TinyScenes-T', checkpoint='densevlm_mm/tiny_scenes/assets/tiny_scenes_teacher.safetensors'))
