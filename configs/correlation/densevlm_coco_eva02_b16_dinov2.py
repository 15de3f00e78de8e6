# DenseVLM with the similarities of DINOv2 between all positions of an image. Its weights are Apache-2.0, as timm names
# them; timm downloads them once, or teacher.checkpoint names the file. 512 pixels at patch 16 are 448 for its patch 14.
_base_ = './densevlm_coco_eva02_b16.py'

model = dict(
    loss=dict(
        losses=dict(
            correlate=dict(_delete_=True, type='CorrelationDistillationLoss', scope='image', kind='mse')),
        weights=dict(correlate=0.025)))  # of a secondary source, for CLIPSelf: see README.md
default_hooks = dict(
    correlate=dict(
        scope='image',
        teacher=dict(type='TimmFeatures', model_name='vit_base_patch14_dinov2.lvd142m')))
