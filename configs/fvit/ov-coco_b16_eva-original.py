# F-ViT, EVA02-CLIP ViT-B/16 as released, OV-COCO.
_base_ = [
    '../_base_/models/fvit.py',
    '../_base_/datasets/ov_coco.py',
    '../_base_/schedules/fvit.py',
    '../_base_/det_runtime.py',
]

default_hooks = dict(checkpoint=dict(save_best='coco/novel_ap50', rule='greater'))
