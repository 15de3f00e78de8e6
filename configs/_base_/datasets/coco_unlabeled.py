# COCO train2017 without its annotations: the json is read for its list of images alone.
image_size = 512  # Sec. 4.1

train_pipeline = [
    dict(type='LoadImage'),
    dict(type='ResizeLongestSide', size=image_size),
    dict(type='GridRegions', mode='balanced', max_grid=6),
    dict(type='PadToSquare', size=image_size),
    dict(type='PackRegionInputs'),
]
train_dataloader = dict(
    batch_size=16,  # published script: 4 GPUs x 16; the paper's text: 48 a GPU
    num_workers=4,
    persistent_workers=True,
    pin_memory=True,
    drop_last=True,
    sampler=dict(type='ResumableSampler', shuffle=True),
    collate_fn=dict(type='pseudo_collate'),
    dataset=dict(
        type='SeededDataset',
        dataset=dict(
            type='UnlabeledImageDataset',
            data_root='data/coco',
            source='annotations/instances_train2017.json',
            data_prefix=dict(img='train2017'),
            pipeline=train_pipeline)))
