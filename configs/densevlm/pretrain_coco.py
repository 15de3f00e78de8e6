# DenseVLM, EVA02-CLIP ViT-B/16 on COCO train2017: settings of arXiv 2412.06244, Sec. 4.1. What Table 9, the
# hyper-parameters, and the published program say otherwise: docs/published_run.md.
_base_ = [
    '../_base_/models/densevlm_eva02_b16.py',
    '../_base_/datasets/coco_unlabeled.py',
    '../_base_/datasets/coco_panoptic_regions.py',
    '../_base_/schedules/pretrain_6e.py',
    '../_base_/default_runtime.py',
]

# The teacher (P-VLM): EVA02-CLIP ViT-L/14-336 refined by CLIPSelf (Sec. 4.1).
default_hooks = dict(
    teacher=dict(
        type='RegionRetrievalHook',  # its vocabulary is model.class_embeddings' unless it is given one
        teacher=dict(
            type='DenseImageEncoder',
            model_name='EVA02-L-14-336',
            checkpoint='weights/eva_vitl14_coco_clipself_patches.pt'),
        input_size=518),  # 37 patches of 14: the whole 512-pixel canvas, without the 1.6 % stretch of 512 // 14
    weight_ensemble=dict(type='WeightEnsembleHook', alpha=0.9))  # the published script's, not in the paper
