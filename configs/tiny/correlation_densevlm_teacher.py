# The similarities of the larger teacher in the place of the initial student's.
_base_ = './correlation_densevlm.py'

default_hooks = dict(correlate=dict(teacher=_base_.default_hooks.teacher.teacher))
