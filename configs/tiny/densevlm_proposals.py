# Table 11: boxes instead of grid cells. Boxes of the annotated things stand for proposals; their classes are not read.
_base_ = './densevlm.py'

train_pipeline = [
    dict(type='LoadImage'),
    dict(type='ResizeLongestSide', size=64),
    dict(type='ProposalRegions', max_regions=16),
    dict(type='PadToSquare', size=64),
    dict(type='PackRegionInputs'),
]
train_dataloader = dict(
    dataset=dict(
        dataset=dict(
            type='RegionProposalDataset',
            region_file='annotations/instances_train.json',
            min_size=8,
            pipeline=train_pipeline)))
