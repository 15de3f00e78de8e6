# F-ViT, EVA02-CLIP ViT-B/16 as released, OV-LVIS.
_base_ = [
    '../_base_/models/fvit_lvis.py',
    '../_base_/datasets/ov_lvis.py',
    '../_base_/schedules/fvit_lvis.py',
    '../_base_/det_runtime.py',
]

default_hooks = dict(checkpoint=dict(save_best='lvis/segm_APr', rule='greater'))
