"""A tiny F-ViT over the TinyScenes student: 3 classes, the second is novel."""

from collections.abc import Callable, Sequence

import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.registry import init_default_scope

from densevlm_mm.models.text import ClassEmbeddings

EMBED_DIM = 128  # of the TinyScenes student


@pytest.fixture
def detection_scope(_default_scope) -> None:
    """The scope of detection configs, with the detection parts registered."""
    import densevlm_mm.detection  # noqa: F401

    init_default_scope("mmdet")


@pytest.fixture
def make_embeddings() -> Callable[..., ClassEmbeddings]:
    def make(classes: Sequence[str] = ("boat", "cow", "car"), dim: int = EMBED_DIM) -> ClassEmbeddings:
        generator = torch.Generator().manual_seed(1)
        return ClassEmbeddings(
            name="test",
            classes=(*classes, "background"),
            is_thing=None,
            embeddings=torch.randn(len(classes) + 1, dim, generator=generator),
            model="TinyScenes-S",
            templates="vild",
            normalization="class",
            fingerprint="",
        )

    return make


@pytest.fixture
def fvit_config(detection_scope, make_embeddings, request) -> ConfigDict:
    student = str(request.config.rootpath / "densevlm_mm/tiny_scenes/assets/tiny_scenes_student.safetensors")
    norm = dict(type="BN")
    deltas = dict(type="DeltaXYWHBBoxCoder", target_means=(0.0,) * 4)
    return ConfigDict(
        type="FViT",
        data_preprocessor=dict(type="DetDataPreprocessor"),
        backbone=dict(
            type="densevlm_mm.DenseVLMBackbone",
            encoder=dict(type="densevlm_mm.DenseImageEncoder", checkpoint=student),
            out_indices=(0, 0, 1, 1),
            norm_cfg=norm,
        ),
        neck=dict(type="FPN", in_channels=[96] * 4, out_channels=16, num_outs=5, norm_cfg=norm),
        rpn_head=dict(
            type="NormedRPNHead",
            norm_cfg=norm,
            num_convs=2,
            in_channels=16,
            feat_channels=16,
            anchor_generator=dict(
                type="AnchorGenerator", scales=[8], ratios=[0.5, 1.0, 2.0], strides=[2, 4, 8, 16, 32]
            ),
            bbox_coder=dict(**deltas, target_stds=(1.0,) * 4),
            loss_cls=dict(type="CrossEntropyLoss", use_sigmoid=True),
            loss_bbox=dict(type="L1Loss"),
        ),
        roi_head=dict(
            type="FViTRoIHead",
            bbox_roi_extractor=dict(
                type="SingleRoIExtractor",
                roi_layer=dict(type="RoIAlign", output_size=7, sampling_ratio=0),
                out_channels=16,
                featmap_strides=[2, 4, 8, 16],
                finest_scale=14,
            ),
            vlm_roi_extractor=dict(
                type="SingleRoIExtractor",
                roi_layer=dict(type="RoIAlign", output_size=1, sampling_ratio=0),
                out_channels=EMBED_DIM,
                featmap_strides=[8],
            ),
            bbox_head=dict(
                type="CosineBBoxHead",
                class_embeddings=make_embeddings(),
                num_classes=3,
                novel_classes=("cow",),
                background_weight=0.6,
                in_channels=16,
                conv_out_channels=16,
                fc_out_channels=EMBED_DIM,
                num_shared_convs=1,
                num_shared_fcs=1,
                num_cls_fcs=1,
                num_reg_fcs=1,
                norm_cfg=norm,
                bbox_coder=dict(**deltas, target_stds=(0.1, 0.1, 0.2, 0.2)),
                loss_bbox=dict(type="L1Loss"),
            ),
        ),
        train_cfg=dict(
            rpn=dict(
                assigner=dict(type="MaxIoUAssigner", pos_iou_thr=0.7, neg_iou_thr=0.3, min_pos_iou=0.3),
                sampler=dict(type="RandomSampler", num=64, pos_fraction=0.5, add_gt_as_proposals=False),
                allowed_border=-1,
                pos_weight=-1,
            ),
            rpn_proposal=dict(nms_pre=100, max_per_img=30, nms=dict(type="nms", iou_threshold=0.7), min_bbox_size=0),
            rcnn=dict(
                assigner=dict(
                    type="MaxIoUAssigner", pos_iou_thr=0.5, neg_iou_thr=0.5, min_pos_iou=0.5, match_low_quality=False
                ),
                sampler=dict(type="RandomSampler", num=32, pos_fraction=0.25, add_gt_as_proposals=True),
                pos_weight=-1,
            ),
        ),
        test_cfg=dict(
            rpn=dict(nms_pre=100, max_per_img=30, nms=dict(type="nms", iou_threshold=0.7), min_bbox_size=0),
            rcnn=dict(score_thr=0.0, nms=dict(type="nms", iou_threshold=0.4), max_per_img=20),
        ),
    )
