# Category set of 899 classes (Tables 4 and 14).
_base_ = './pretrain_coco.py'

model = dict(class_embeddings=dict(vocabulary='set_899'))
