# pretrain_coco.py with the exact teacher cache: the teacher sees every image once (docs/teacher_cache.md).
_base_ = './pretrain_coco.py'

# dtype='float16' takes half the space. A loss with a threshold below min_threshold needs records of its own.
default_hooks = dict(teacher=dict(cache=dict(path='data/teacher_cache', dtype='float32', min_threshold=0.3)))
