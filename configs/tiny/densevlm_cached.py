# configs/tiny/densevlm.py with the exact teacher cache: the same run to the bit, and from the second run on no teacher.
_base_ = './densevlm.py'

default_hooks = dict(teacher=dict(cache=dict(path='data/teacher_cache')))
