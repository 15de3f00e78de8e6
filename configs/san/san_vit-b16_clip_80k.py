# SAN over OpenAI's CLIP with the schedule of the DenseVLM paper: what the encoders are compared with.
_base_ = [
    '../_base_/models/san_vit-b16.py',
    '../_base_/datasets/seg_coco_stuff164k.py',
    '../_base_/datasets/seg_ade20k_150.py',
    '../_base_/schedules/san_80k.py',
    '../_base_/seg_runtime.py',
]

# SAN tests with detectron2's full names ('road, route'), mmseg with short ones.
model = dict(test_class_embeddings=dict(vocabulary='ade20k_150_d2'))
train_dataloader = dict(batch_size=8)
