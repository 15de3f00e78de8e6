# Canvas of 320 pixels (Table 10).
_base_ = './pretrain_coco.py'

image_size = 320
train_pipeline = [
    dict(type='LoadImage'),
    dict(type='ResizeLongestSide', size=image_size),
    dict(type='GridRegions', mode='balanced', max_grid=6),
    dict(type='PadToSquare', size=image_size),
    dict(type='PackRegionInputs'),
]
train_dataloader = dict(batch_size=16, dataset=dict(dataset=dict(pipeline=train_pipeline)))
default_hooks = dict(teacher=dict(input_size=322))  # the nearest multiple of 14
