# What the published weights were trained with, where that is not our default (docs/published_run.md).
_base_ = './pretrain_coco.py'

# The published environment's torchvision 0.15 resizes tensors without antialiasing.
train_pipeline, test_pipeline = _base_.train_pipeline, _base_.test_pipeline
train_pipeline[1].antialias = test_pipeline[1].antialias = False

model = dict(
    # 203 of the 204 things count as things; embeddings are averaged over prompts but not normalised again.
    class_embeddings=dict(num_things=203, normalization='prompt'),
    loss=dict(reduction='group'))

default_hooks = dict(
    teacher=dict(
        # The authors' file (non-commercial): https://huggingface.co/lyhisme/DenseVLM
        teacher=dict(checkpoint='weights/clipself_coco_6_save6_512_eva_vitl14_24layers.pt'),
        input_size=None))  # ViT-L/14 on the 512-pixel canvas: 36 cells that see 504 pixels

# Gradients were not averaged over the 4 GPUs: the saved weights learned from every fourth image, 16 a step. Run this
# config with one process.
train_dataloader = dict(sampler=dict(shard=(0, 4)), dataset=dict(dataset=dict(pipeline=train_pipeline)))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
optim_wrapper = dict(optimizer=dict(betas=(0.9, 0.999)))  # what AdamW ran with for EVA models; Table 9 has a beta of 0.98
auto_scale_lr = dict(base_batch_size=16)
