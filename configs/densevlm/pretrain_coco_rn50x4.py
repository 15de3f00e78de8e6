# RN50x4 as student (Table 6), OpenAI's weights: stride 32, only the stages train. The published program trains the position
# embedding of the pooling attention too: --cfg-options model.encoder.train_pool_positions=True.
_base_ = './pretrain_coco.py'

test_pipeline = _base_.test_pipeline
test_pipeline[3].feature_stride = 32
model = dict(encoder=dict(model_name='RN50x4-quickgelu', checkpoint='open_clip:openai'))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
