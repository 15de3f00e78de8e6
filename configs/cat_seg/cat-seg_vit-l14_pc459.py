# Test of any cat-seg_vit-l14 checkpoint over pascal_context_459.
_base_ = ['../_base_/models/cat_seg_vit-l14.py', '../_base_/datasets/seg_pascal_context_459.py', '../_base_/seg_runtime.py']

model = dict(
    test_vocabulary='pascal_context_459',
    test_cfg=dict(keep_scores=False))  # gigabytes an image at the original size
