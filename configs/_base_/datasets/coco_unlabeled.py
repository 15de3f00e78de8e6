# COCO train2017 without its annotations: the images of a folder, called by their paths below it.
# To go by the list of a json instead, called by its image ids (a region file that knows images by id alone needs that):
# source='annotations/instances_train2017.json', data_prefix=dict(img='train2017')
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
            source='train2017',
            data_prefix=dict(img=''),
            pipeline=train_pipeline)))
