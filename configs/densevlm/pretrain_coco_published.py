# What the published weights were trained with, where that differs from the paper (docs/published_run.md).
_base_ = './pretrain_coco.py'

model = dict(
    # 203 of the 204 things count as things; embeddings are averaged over prompts but not normalised again.
    class_embeddings=dict(num_things=203, normalization='prompt'),
    loss=dict(reduction='group'))

# ViT-L/14 on the 512-pixel canvas: 36 cells that see 504 pixels.
default_hooks = dict(teacher=dict(input_size=None))

# Gradients were not averaged over the 4 GPUs: the saved weights learned from every fourth image, 16 a step. Run this
# config with one process.
train_dataloader = dict(sampler=dict(shard=(0, 4)))
optim_wrapper = dict(optimizer=dict(betas=(0.9, 0.999)))  # what AdamW ran with for EVA models; the paper says 0.98
auto_scale_lr = dict(base_batch_size=16)
