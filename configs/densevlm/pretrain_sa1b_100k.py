# pretrain_sa1b_1.1m.py on the first nine shards, about 100,000 images.
_base_ = './pretrain_sa1b_1.1m.py'

train_dataloader = dict(dataset=dict(dataset=dict(shards='sa_{000000..000008}.tar')))
