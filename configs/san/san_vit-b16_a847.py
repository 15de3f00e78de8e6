# Test of a trained SAN on ADE20K-847, whatever encoder it was trained with.
_base_ = ['../_base_/models/san_vit-b16.py', '../_base_/datasets/seg_ade20k_847.py', '../_base_/seg_runtime.py']

model = dict(test_class_embeddings=dict(vocabulary='ade20k_847'))
