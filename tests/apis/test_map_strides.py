"""Stock detectors place anchors where the maps of the backbone are, or are told to."""

from collections.abc import Callable
from pathlib import Path

import pytest
from mmdet.registry import MODELS
from mmengine.config import Config
from mmengine.registry import DefaultScope
from torch import nn

import densevlm_mm.detection  # noqa: F401
from densevlm_mm.apis.map_strides import check_map_strides

CONFIG = """
_base_ = ['mmdet::_base_/models/{base}.py']
encoder = dict(
    type='densevlm_mm.DenseImageEncoder', checkpoint='random', model_name=dict(
        model_name='tiny', model_cfg=dict(
            embed_dim=8, vision_cfg=dict(image_size=56, layers=2, width=16, head_width=8, patch_size={patch}),
            text_cfg=dict(context_length=8, vocab_size=16, width=8, heads=1, layers=1))))
model = dict(
    backbone=dict(
        _delete_=True, type='densevlm_mm.DenseVLMBackbone', encoder=encoder, out_indices=(0, 0, 1, 1),
        norm_cfg=dict(type='BN')),
    neck=dict(in_channels=[16] * 4))
"""


@pytest.fixture
def stock(tmp_path: Path) -> Callable[..., nn.Module]:
    def build(base: str, patch: int, options: dict | None = None) -> nn.Module:
        (tmp_path / "config.py").write_text(CONFIG.format(base=base, patch=patch))
        cfg = Config.fromfile(str(tmp_path / "config.py"))
        cfg.merge_from_dict(options or {})
        with DefaultScope.overwrite_default_scope("mmdet"):
            return MODELS.build(cfg.model)

    return build


LINES = {
    "retinanet_r50_fpn": {"model.bbox_head.anchor_generator.strides": ([8, 16, 32, 64, 128], [7, 14, 28, 56, 112])},
    "faster-rcnn_r50_fpn": {
        "model.rpn_head.anchor_generator.strides": ([4, 8, 16, 32, 64], [3.5, 7, 14, 28, 56]),
        "model.roi_head.bbox_roi_extractor.featmap_strides": ([4, 8, 16, 32], [3.5, 7, 14, 28]),
    },
}


@pytest.mark.parametrize("base", LINES)
def test_a_patch_of_14_needs_other_strides_and_the_error_says_which(stock, base: str) -> None:
    with pytest.raises(ValueError, match=r"\[3\.5,7,14,28\] pixels apart") as refused:
        check_map_strides(stock(base, 14))
    for key, (given, right) in LINES[base].items():
        shown = [f"[{','.join(map(str, strides))}]" for strides in (right, given)]
        assert f"{key}={shown[0]} (now {shown[1]})" in str(refused.value)
    check_map_strides(stock(base, 14, {key: right for key, (_, right) in LINES[base].items()}))


@pytest.mark.parametrize("base", LINES)
def test_a_patch_of_16_has_mmdets_strides(stock, base: str) -> None:
    check_map_strides(stock(base, 16))


def test_a_detector_that_starts_at_another_level_is_told_its_strides(stock) -> None:
    with pytest.raises(ValueError, match=r"strides=\[4,8,16,32,64\] \(now \[8,16,32,64,128\]\)"):
        check_map_strides(stock("retinanet_r50_fpn", 8))


def test_other_models_are_left_alone() -> None:
    check_map_strides(nn.Linear(2, 2))
