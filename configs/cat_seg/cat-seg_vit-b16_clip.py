# CAT-Seg with OpenAI's CLIP ViT-B/16, trained on COCO-Stuff, evaluated on A-150.
_base_ = [
    '../_base_/models/cat_seg_vit-b16.py',
    '../_base_/datasets/seg_coco_stuff164k_384.py',
    '../_base_/datasets/seg_ade20k_150.py',
    '../_base_/schedules/cat_seg_80k.py',
    '../_base_/seg_runtime.py',
]

model = dict(test_vocabulary='ade20k_150')
