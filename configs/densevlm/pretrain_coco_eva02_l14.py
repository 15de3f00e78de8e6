# EVA02-CLIP ViT-L/14-336 as student (Table 6): 14-pixel patches need a canvas of 518 pixels.
_base_ = './pretrain_coco.py'

image_size = 518  # 37 * 14
train_pipeline = [
    dict(type='LoadImage'),
    dict(type='ResizeLongestSide', size=image_size),
    dict(type='GridRegions', mode='balanced', max_grid=6),
    dict(type='PadToSquare', size=image_size),
    dict(type='PackRegionInputs'),
]
test_pipeline = [
    dict(type='LoadImage'),
    dict(type='ResizeLongestSide', size=image_size),
    dict(type='PadToSquare', size=image_size),
    dict(type='LoadPanopticRegions', feature_stride=14),
    dict(type='PackRegionInputs'),
]
model = dict(
    encoder=dict(
        model_name='EVA02-L-14-336',
        checkpoint='weights/EVA02_CLIP_L_336_psz14_s6B.pt',
        grad_checkpointing=True))
train_dataloader = dict(dataset=dict(dataset=dict(pipeline=train_pipeline)))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
