# F-ViT with ViT-B/16 on OV-LVIS: what differs from OV-COCO (published configs of CLIPSelf).
_base_ = './fvit.py'

norm = dict(type='SyncBN')

model = dict(
    data_preprocessor=dict(pad_size_divisor=1024, pad_mask=True),
    rpn_head=dict(type='NormedRPNHead', norm_cfg=norm),
    roi_head=dict(
        bbox_head=dict(
            num_classes=1203,
            class_embeddings=dict(vocabulary='ov_lvis_1203'),
            novel_classes='ov_lvis_1203',
            background_weight=0.9,
            vlm_temperature=50.0,
            beta=0.6),
        mask_roi_extractor=dict(
            type='SingleRoIExtractor',
            roi_layer=dict(type='RoIAlign', output_size=14, sampling_ratio=0),
            out_channels=256,
            featmap_strides=[4, 8, 16, 32]),
        mask_head=dict(
            type='FCNMaskHead',
            num_convs=4,
            in_channels=256,
            conv_out_channels=256,
            num_classes=1203,
            class_agnostic=True,
            norm_cfg=norm,
            loss_mask=dict(type='CrossEntropyLoss', use_mask=True, loss_weight=1.0))),
    train_cfg=dict(rcnn=dict(assigner=dict(match_low_quality=True), mask_size=28)),
    test_cfg=dict(
        rcnn=dict(score_thr=1e-4, nms=dict(iou_threshold=0.5), max_per_img=300, mask_thr_binary=0.5)))
