# CLIPSelf on the value dense path with the settings of DenseRC (CVPR 2026), as a third party's summary has them. Its
# second teacher, DINOv2, is not part of this config.
_base_ = '../clipself/clipself_coco_eva02_b16.py'

image_size = 1024
train_pipeline, test_pipeline = _base_.train_pipeline, _base_.test_pipeline
train_pipeline[1].size = train_pipeline[3].size = image_size
train_pipeline[2] = dict(type='GridRegions', mode='all', min_grid=1, max_grid=6)
test_pipeline[1].size = test_pipeline[2].size = image_size

model = dict(encoder=dict(dense_path=dict(type='values', layers=3, gate=True)))
train_dataloader = dict(batch_size=4, dataset=dict(dataset=dict(pipeline=train_pipeline)))  # on 4 GPUs
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
optim_wrapper = dict(
    optimizer=dict(lr=1e-5, weight_decay=0.1),  # AdamW; 6 epochs, as everywhere here
    paramwise_cfg=dict(custom_keys={'value_gate': dict(lr_mult=1.)}))  # not known of DenseRC
auto_scale_lr = dict(base_batch_size=16)
