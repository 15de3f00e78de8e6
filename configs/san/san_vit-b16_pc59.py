# Test of a trained SAN on Pascal-Context-59 (ours), whatever encoder it was trained with.
_base_ = ['../_base_/models/san_vit-b16.py', '../_base_/datasets/seg_pascal_context_59.py', '../_base_/seg_runtime.py']

model = dict(test_class_embeddings=dict(vocabulary='pascal_context_59'))
