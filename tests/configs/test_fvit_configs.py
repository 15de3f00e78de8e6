"""configs/fvit against the published hyper-parameters, and against the encoders that they name."""

from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope

from densevlm_mm.models.text import ClassEmbeddings
from densevlm_mm.vocabulary import Vocabulary

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "configs/fvit"
DETECTORS = sorted(p.stem for p in FOLDER.glob("*.py") if not p.stem.startswith("faster-rcnn"))
TRAINED = [name for name in DETECTORS if not name.startswith("transfer")]

# The published configs' table: image side, classes, epochs, T_vlm, beta, background weight, match_low_quality,
# score threshold, NMS threshold, detections an image.
PUBLISHED = {
    "ov-coco_b16": (640, 65, 3, 75, 0.8, 0.6, False, 0.01, 0.4, 100),
    "ov-coco_l14": (896, 65, 3, 75, 0.8, 0.6, False, 0.01, 0.4, 100),
    "ov-lvis_b16": (1024, 1203, 48, 50, 0.6, 0.9, True, 1e-4, 0.5, 300),
    "ov-lvis_l14": (896, 1203, 48, 50, 0.4, 0.9, True, 1e-4, 0.5, 300),
}


def load(name: str) -> Config:
    return Config.fromfile(str(FOLDER / f"{name}.py"))


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_hyper_parameters(name: str) -> None:
    cfg = load(f"{name}_eva-original")
    head, test = cfg.model.roi_head.bbox_head, cfg.model.test_cfg.rcnn
    assert (
        cfg.model.data_preprocessor.pad_size_divisor,
        head.num_classes,
        cfg.train_cfg.max_epochs,
        head.vlm_temperature,
        head.beta,
        head.background_weight,
        cfg.model.train_cfg.rcnn.assigner.match_low_quality,
        test.score_thr,
        test.nms.iou_threshold,
        test.max_per_img,
    ) == PUBLISHED[name]
    assert (head.temperature, head.alpha, head.num_shared_convs, head.num_shared_fcs) == (50, 0.1, 4, 2)
    wrapper = cfg.optim_wrapper
    assert (wrapper.optimizer.lr, wrapper.optimizer.weight_decay, wrapper.clip_grad.max_norm) == (1e-4, 0.1, 1.0)
    assert cfg.auto_scale_lr == dict(enable=True, base_batch_size=64)
    assert cfg.train_dataloader.batch_size == 8
    is_lvis = "lvis" in name
    assert [s.milestones for s in cfg.param_scheduler if s.type == "MultiStepLR"] == ([[32, 44]] if is_lvis else [])
    assert cfg.model.rpn_head.type == ("NormedRPNHead" if is_lvis else "RPNHead")
    assert ("mask_head" in cfg.model.roi_head) == is_lvis
    for proposals in (cfg.model.train_cfg.rpn_proposal, cfg.model.test_cfg.rpn):
        assert (proposals.nms_pre, proposals.max_per_img, proposals.nms.iou_threshold) == (2000, 1000, 0.7)


@pytest.mark.parametrize("name", TRAINED)
def test_images_have_the_size_that_they_are_padded_to(name: str) -> None:
    cfg = load(name)
    side = cfg.model.data_preprocessor.pad_size_divisor
    steps = [*cfg.train_dataloader.dataset.dataset.pipeline, *cfg.val_dataloader.dataset.pipeline]
    sizes = {tuple(step[key]) for step in steps for key in ("scale", "crop_size") if key in step}
    assert sizes == {(side, side)}
    assert cfg.val_dataloader == cfg.test_dataloader


@pytest.mark.parametrize("name", [name for name in TRAINED if "original" not in name])
def test_children_change_the_backbones_checkpoint_and_nothing_else(name: str) -> None:
    child, parent = load(name), Config.fromfile(str(next(FOLDER.glob(f"{name.rpartition('_')[0]}_*original.py"))))
    assert child.model.backbone.encoder.checkpoint != parent.model.backbone.encoder.checkpoint
    child.model.backbone.encoder.checkpoint = parent.model.backbone.encoder.checkpoint
    assert child._cfg_dict == parent._cfg_dict


@pytest.mark.parametrize(
    "name",
    [*(f"{name}_eva-original" for name in PUBLISHED), "ov-coco_openai-b16_original", "transfer_l14_voc07"],
)
def test_parts_fit_the_encoder(name: str) -> None:
    from mmdet.registry import MODELS

    import densevlm_mm.detection  # noqa: F401

    init_default_scope("mmdet")
    cfg = load(name).model
    options = cfg.roi_head.bbox_head.class_embeddings
    vocabulary = Vocabulary.load(options.vocabulary).with_extra_classes(options.extra_classes)
    dim = cfg.roi_head.bbox_head.fc_out_channels
    cfg.roi_head.bbox_head.class_embeddings = ClassEmbeddings(
        name=vocabulary.name,
        classes=vocabulary.classes,
        is_thing=None,
        embeddings=torch.zeros(len(vocabulary), dim),
        model=options.model_name,
        templates=options.templates,
        normalization="class",
        fingerprint="",
    )
    cfg.backbone.encoder.checkpoint = "random"
    with torch.device("meta"):
        detector = MODELS.build(cfg)
    strides = detector.backbone.strides
    assert list(cfg.roi_head.bbox_roi_extractor.featmap_strides) == strides
    assert list(cfg.rpn_head.anchor_generator.strides) == [*strides, 2 * strides[-1]]
    assert list(cfg.neck.in_channels) == detector.backbone.out_channels
    assert list(cfg.roi_head.vlm_roi_extractor.featmap_strides) == [detector.backbone.encoder.stride]
    assert cfg.data_preprocessor.pad_size_divisor % detector.backbone.encoder.stride == 0
    if cfg.roi_head.get("mask_roi_extractor"):
        assert cfg.roi_head.mask_roi_extractor.featmap_strides == cfg.roi_head.bbox_roi_extractor.featmap_strides


def test_stock_detector_takes_the_backbone() -> None:
    """A config of mmdet's with another backbone: builds, and its losses reach the adaptors."""
    from mmdet.registry import MODELS
    from mmdet.structures import DetDataSample
    from mmengine.structures import InstanceData

    import densevlm_mm  # noqa: F401

    init_default_scope("mmdet")
    cfg = load("faster-rcnn_densevlm-b16_coco").model
    assert cfg.type == "FasterRCNN"
    tiny = dict(model_name="TinyScenes-S", checkpoint="random")
    cfg.backbone.update(out_indices=(0, 0, 1, 1), norm_cfg=dict(type="BN"))
    cfg.backbone.encoder.update(tiny)
    cfg.neck.in_channels = [96] * 4
    detector = MODELS.build(cfg)
    sample = DetDataSample(metainfo=dict(img_shape=(64, 64), pad_shape=(64, 64), batch_input_shape=(64, 64)))
    sample.gt_instances = InstanceData(bboxes=torch.tensor([[4.0, 4, 50, 50]]), labels=torch.tensor([1]))
    losses = detector.train()(torch.randn(2, 3, 64, 64), [sample, sample.clone()], mode="loss")
    sum(value for name in losses for value in _flat(losses[name]) if "loss" in name).backward()
    assert all(p.grad is None for p in detector.backbone.encoder.parameters())
    assert all(p.grad is not None for p in detector.backbone.adaptors.parameters())


def _flat(value) -> list:
    return list(value) if isinstance(value, (list, tuple)) else [value]


@pytest.mark.parametrize(
    ("name", "num_classes", "alpha"), [("coco", 80, 0.2), ("objects365v1", 365, 0.3), ("voc07", 20, 0.3)]
)
def test_transfer_protocol(name: str, num_classes: int, alpha: float) -> None:
    cfg = load(f"transfer_l14_{name}")
    head = cfg.model.roi_head.bbox_head
    assert (head.num_classes, head.alpha, head.vlm_temperature) == (num_classes, alpha, 120)
    assert (head.temperature, head.learn_temperature, head.novel_classes) == (50, False, ())
    assert len(Vocabulary.load(head.class_embeddings.vocabulary)) == num_classes
    assert cfg.model.roi_head.mask_head is None
