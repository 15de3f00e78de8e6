# Images of 768 pixels in training and in evaluation (Table 10, sizes); masks and features on a grid of 48 x 48.
_base_ = './pretrain_coco.py'

image_size = 768
train_pipeline, test_pipeline = _base_.train_pipeline, _base_.test_pipeline
train_pipeline[1].size = train_pipeline[3].size = image_size
test_pipeline[1].size = test_pipeline[2].size = image_size
train_dataloader = dict(batch_size=8, dataset=dict(dataset=dict(pipeline=train_pipeline)))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
default_hooks = dict(teacher=dict(input_size=770))  # the nearest multiple of 14
