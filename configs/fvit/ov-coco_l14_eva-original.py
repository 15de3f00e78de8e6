# F-ViT, EVA02-CLIP ViT-L/14-336 as released, OV-COCO. The authors: epoch 2 is often the best.
_base_ = [
    '../_base_/models/fvit_l14.py',
    '../_base_/datasets/ov_coco.py',
    '../_base_/schedules/fvit.py',
    '../_base_/det_runtime.py',
]

image_size = (896, 896)
train_pipeline, test_pipeline = _base_.train_pipeline, _base_.test_pipeline
train_pipeline[2].scale = train_pipeline[3].crop_size = test_pipeline[1].scale = image_size
train_dataloader = dict(dataset=dict(dataset=dict(pipeline=train_pipeline)))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader

default_hooks = dict(checkpoint=dict(save_best='coco/novel_ap50', rule='greater'))
