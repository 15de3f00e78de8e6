# Table 11, proposals instead of grid cells. Boxes of the annotated things stand for proposals; their classes are not read.
_base_ = './densevlm.py'

train_pipeline = _base_.train_pipeline
train_pipeline[2] = dict(type='ProposalRegions', max_regions=16)
train_dataloader = dict(
    dataset=dict(
        dataset=dict(
            type='RegionProposalDataset',
            region_file='annotations/instances_train.json',
            min_size=8,
            pipeline=train_pipeline)))
