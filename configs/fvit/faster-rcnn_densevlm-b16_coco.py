# A stock mmdetection detector whose ResNet-50 is swapped for a frozen dense encoder: the backbone and nothing else.
_base_ = 'mmdet::faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py'

custom_imports = dict(imports=['densevlm_mm'], allow_failed_imports=False)
model = dict(
    backbone=dict(
        _delete_=True,
        type='densevlm_mm.DenseVLMBackbone',
        encoder=dict(
            type='densevlm_mm.DenseImageEncoder',
            model_name='EVA02-B-16',
            checkpoint='weights/densevlm_eva02_b16.safetensors'),
        out_indices=(3, 5, 7, 11)),
    neck=dict(in_channels=[768] * 4))
