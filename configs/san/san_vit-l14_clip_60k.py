# SAN as published: OpenAI's CLIP, 60k iterations. 8 GPUs x 4 images.
_base_ = [
    '../_base_/models/san_vit-l14.py',
    '../_base_/datasets/seg_coco_stuff164k.py',
    '../_base_/datasets/seg_ade20k_150.py',
    '../_base_/schedules/san_60k.py',
    '../_base_/seg_runtime.py',
]

# SAN tests with detectron2's full names ('road, route'), mmseg with short ones.
model = dict(test_class_embeddings=dict(vocabulary='ade20k_150_d2'))
train_dataloader = dict(batch_size=4)
