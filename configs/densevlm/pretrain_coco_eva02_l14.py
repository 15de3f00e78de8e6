# EVA02-CLIP ViT-L/14-336 as student (Table 13). Images of 518 pixels: 37 whole patches of 14.
_base_ = './pretrain_coco.py'

image_size = 518
train_pipeline, test_pipeline = _base_.train_pipeline, _base_.test_pipeline
train_pipeline[1].size = train_pipeline[3].size = image_size
test_pipeline[1].size = test_pipeline[2].size = image_size
test_pipeline[3].feature_stride = 14
model = dict(
    encoder=dict(
        model_name='EVA02-L-14-336',
        checkpoint='weights/EVA02_CLIP_L_336_psz14_s6B.pt',
        grad_checkpointing=True))
train_dataloader = dict(dataset=dict(dataset=dict(pipeline=train_pipeline)))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
