# Region proposals from a file instead of grid cells (Table 11).
_base_ = './pretrain_coco.py'

train_pipeline = _base_.train_pipeline
train_pipeline[2] = dict(type='ProposalRegions', max_regions=36)  # as many as the largest grid has cells
train_dataloader = dict(
    dataset=dict(
        dataset=dict(
            type='RegionProposalDataset',
            source='annotations/instances_train2017.json',  # proposals know images by its ids
            data_prefix=dict(img='train2017'),
            region_file='annotations/proposals_train2017.json',
            min_size=16,  # a patch, were the image not resized
            pipeline=train_pipeline)))
