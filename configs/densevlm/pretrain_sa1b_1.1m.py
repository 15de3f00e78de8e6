# 1.1 million images of SA-1B (Sec. 4.4, Fig. 6), 8 GPUs x 48: its first hundred shards of about 11,000 images. Which images the
# paper takes is not known to us. The teacher sees 6.6 million images: docs/teacher_cache.md, docs/scale.md.
_base_ = './pretrain_coco.py'

train_dataloader = dict(
    batch_size=48,  # Sec. 4.1: 48 a GPU
    num_workers=8,
    sampler=dict(_delete_=True, type='ShardSampler', num_streams=64),
    dataset=dict(
        dataset=dict(
            _delete_=True,
            type='ShardedImages',
            data_root='data/sa1b',  # sa_000000.tar ... as published
            # python tools/dataset_converters/images_to_shards.py index 'data/sa1b/sa_{000000..000099}.tar' --workers 8
            source='shards.json',
            shards='sa_{000000..000099}.tar',
            pipeline={{_base_.train_pipeline}})))
