# F-ViT (CLIPSelf, arXiv 2310.01403) with an EVA02-CLIP ViT-B/16 on OV-COCO. Parts that are not named here are mmdet's
# Faster R-CNN: two-stage samplers and assigners, FPN, RPN anchors, box coders.
_base_ = 'mmdet::_base_/models/faster-rcnn_r50_fpn.py'

original = 'weights/EVA02_CLIP_B_psz16_s8B.pt'
norm = dict(type='SyncBN')
nms = dict(type='nms', iou_threshold=0.7)

model = dict(
    type='FViT',
    data_preprocessor=dict(
        pad_size_divisor=640,  # no image is larger: all are padded to this square, with 0 after normalisation
        # ImageNet's, with which the published detectors were trained. CLIP's own: 122.771, 116.746, 104.094 and
        # 68.501, 66.632, 70.323.
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True),
    backbone=dict(
        _delete_=True,
        type='densevlm_mm.DenseVLMBackbone',
        encoder=dict(type='densevlm_mm.DenseImageEncoder', model_name='EVA02-B-16', checkpoint=original),
        out_indices=(3, 5, 7, 11),
        norm_cfg=norm),
    neck=dict(in_channels=[768] * 4, norm_cfg=norm),
    rpn_head=dict(num_convs=2),
    roi_head=dict(
        type='FViTRoIHead',
        vlm_roi_extractor=dict(
            type='SingleRoIExtractor',
            roi_layer=dict(type='RoIAlign', output_size=1, sampling_ratio=0, aligned=True),
            out_channels=512,  # of the joint embedding
            featmap_strides=[16]),
        bbox_head=dict(
            _delete_=True,
            type='CosineBBoxHead',
            num_classes=65,
            # Built from the original checkpoint's text tower, which region training does not change, then cached.
            class_embeddings=dict(
                vocabulary='ov_coco_65',
                extra_classes=('background',),
                templates='vild',
                model_name='EVA02-B-16',
                checkpoint=original),
            novel_classes='ov_coco_65',
            background_weight=0.6,
            temperature=50.0,  # learned
            vlm_temperature=75.0,
            alpha=0.1,  # share of the encoder in base classes' scores
            beta=0.8,  # in novel classes'
            in_channels=256,
            conv_out_channels=256,
            fc_out_channels=512,  # of the joint embedding: the branch ends in it
            roi_feat_size=7,
            num_shared_convs=4,
            num_shared_fcs=2,
            num_cls_fcs=1,
            num_reg_fcs=1,
            norm_cfg=norm,
            bbox_coder=dict(
                type='DeltaXYWHBBoxCoder', target_means=[0.] * 4, target_stds=[0.1, 0.1, 0.2, 0.2]),
            loss_bbox=dict(type='L1Loss', loss_weight=1.0))),
    test_cfg=dict(
        rpn=dict(nms_pre=2000, nms=nms),
        rcnn=dict(score_thr=0.01, nms=dict(iou_threshold=0.4), max_per_img=100)))
