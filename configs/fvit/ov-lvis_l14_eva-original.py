# F-ViT, EVA02-CLIP ViT-L/14-336 as released, OV-LVIS.
_base_ = [
    '../_base_/models/fvit_lvis_l14.py',
    '../_base_/datasets/ov_lvis.py',
    '../_base_/schedules/fvit_lvis.py',
    '../_base_/det_runtime.py',
]

image_size = (896, 896)
train_pipeline, test_pipeline = _base_.train_pipeline, _base_.test_pipeline
train_pipeline[2].scale = train_pipeline[3].crop_size = test_pipeline[1].scale = image_size
train_dataloader = dict(dataset=dict(dataset=dict(pipeline=train_pipeline)))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader

default_hooks = dict(checkpoint=dict(save_best='lvis/segm_APr', rule='greater'))
