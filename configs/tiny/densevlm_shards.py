# configs/tiny/densevlm.py on tar shards, which this makes:
# python tools/dataset_converters/images_to_shards.py pack data/tiny_scenes/train data/tiny_scenes/shards --images-per-shard 1000
_base_ = './densevlm.py'

train_dataloader = dict(
    sampler=dict(_delete_=True, type='ShardSampler', num_streams=8),
    dataset=dict(
        dataset=dict(
            _delete_=True,
            type='ShardedImages',
            data_root='data/tiny_scenes',
            source='shards/shards.json',
            pipeline={{_base_.train_pipeline}})))
