# Test of any cat-seg_vit-l14 checkpoint over ade20k_847.
_base_ = ['../_base_/models/cat_seg_vit-l14.py', '../_base_/datasets/seg_ade20k_847.py', '../_base_/seg_runtime.py']

model = dict(
    test_vocabulary='ade20k_847',
    decode_head=dict(aggregator=dict(class_chunk_size=64)),  # the same result in a part of the memory
    test_cfg=dict(keep_scores=False))  # gigabytes an image at the original size
