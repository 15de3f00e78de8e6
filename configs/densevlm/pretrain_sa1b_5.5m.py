# pretrain_sa1b_1.1m.py on the first five hundred shards, about 5.5 million images.
_base_ = './pretrain_sa1b_1.1m.py'

train_dataloader = dict(dataset=dict(dataset=dict(shards='sa_{000000..000499}.tar')))
