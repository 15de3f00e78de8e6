"""[exif_detection]: pixels, boxes and labels of every data base agree, whatever an image's EXIF orientation."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DATASETS, DefaultScope
from PIL import Image

import densevlm_mm.detection
import densevlm_mm.segmentation  # noqa: F401
from densevlm_mm.datasets.seeded import seeded_random_state

BASES = Path(__file__).resolve().parents[2] / "configs" / "_base_" / "datasets"
PIXELS = np.random.default_rng(0).integers(0, 255, (48, 64, 3), dtype=np.uint8)
BOX = [8, 20, 22, 15]
LABELS = np.zeros((48, 64), np.uint8)
LABELS[20:35, 8:30] = 1


def save(path: Path, pixels: np.ndarray, orientation: int | None = None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    exif = Image.Exif()
    if orientation is not None:
        exif[0x0112] = orientation
    Image.fromarray(pixels).save(path, exif=exif)


def annotations(height: int, width: int, lvis: bool) -> dict:
    image = dict(id=1, file_name="img/1.png", height=height, width=width)
    if lvis:
        image |= dict(coco_url="http://host/img/1.png", neg_category_ids=[], not_exhaustive_category_ids=[])
    x, y, w, h = BOX
    outline = [[x, y, x + w, y, x + w, y + h, x, y + h]]
    annotation = dict(id=1, image_id=1, category_id=1, bbox=BOX, area=330, iscrowd=0, segmentation=outline)
    category = dict(id=1, name="boat", frequency="f")
    return dict(images=[image], annotations=[annotation], categories=[category])


def detection_sample(root: Path, base: str, key: str) -> dict:
    cfg = Config.fromfile(str(BASES / f"{base}.py"))
    classes = dict(classes=("boat",), base_classes=("boat",), novel_classes=())
    node: dict[str, Any] = dict(type="ClassOrderCocoDataset", metainfo=classes, ann_file="ann.json", pipeline=cfg[key])
    if "lvis" in base:
        node.update(type="OVLVISDataset", drop_novel=False)
    with DefaultScope.overwrite_default_scope("mmdet"):
        dataset = DATASETS.build(node | dict(data_root=str(root), data_prefix=dict(img="")))
        with seeded_random_state(1):
            return dataset[0]


@pytest.mark.parametrize("key", ["train_pipeline", "test_pipeline"])
@pytest.mark.parametrize("base", ["ov_coco", "ov_lvis", "ov_tiny_scenes"])
def test_detection(tmp_path: Path, base: str, key: str) -> None:
    (tmp_path / "ann.json").write_text(json.dumps(annotations(48, 64, "lvis" in base)))
    save(tmp_path / "img" / "1.png", PIXELS)
    plain = detection_sample(tmp_path, base, key)
    for orientation in (1, 5, 6, 7, 8):
        save(tmp_path / "img" / "1.png", PIXELS, orientation)
        sample = detection_sample(tmp_path, base, key)
        assert torch.equal(sample["inputs"], plain["inputs"])
        for name in ("bboxes", "labels"):
            found, expected = (each["data_samples"].gt_instances[name] for each in (sample, plain))
            assert torch.equal(getattr(found, "tensor", found), getattr(expected, "tensor", expected))
    turned = np.rot90(PIXELS)
    (tmp_path / "ann.json").write_text(json.dumps(annotations(64, 48, "lvis" in base)))
    save(tmp_path / "img" / "1.png", turned)
    plain = detection_sample(tmp_path, base, key)
    save(tmp_path / "img" / "1.png", PIXELS, 8)  # annotated as shown
    assert torch.equal(detection_sample(tmp_path, base, key)["inputs"], plain["inputs"])


def segmentation_sample(root: Path, base: str, key: str) -> dict:
    cfg = Config.fromfile(str(BASES / f"{base}.py"))
    node = dict(
        type="LabelMapDataset",
        data_root=str(root),
        data_prefix=dict(img_path="img", seg_map_path="labels"),
        metainfo=dict(classes=("sea", "boat")),
        img_suffix=".png",
        seg_map_suffix=".png",
        pipeline=cfg[key],
    )
    with DefaultScope.overwrite_default_scope("mmseg"):
        dataset = DATASETS.build(node)
        with seeded_random_state(1):
            return dataset[0]


@pytest.mark.parametrize(
    ("base", "key"),
    [
        ("seg_coco_stuff164k", "train_pipeline"),
        ("seg_coco_stuff164k_384", "train_pipeline"),
        ("seg_tiny_scenes", "train_pipeline"),
        ("seg_tiny_scenes", "test_pipeline"),
        ("seg_ade20k_150", "test_pipeline"),
        ("seg_ade20k_847", "test_pipeline"),
        ("seg_pascal_context_59", "test_pipeline"),
        ("seg_pascal_context_459", "test_pipeline"),
    ],
)
def test_segmentation(tmp_path: Path, base: str, key: str) -> None:
    save(tmp_path / "img" / "1.png", PIXELS)
    save(tmp_path / "labels" / "1.png", LABELS)
    plain = segmentation_sample(tmp_path, base, key)
    for orientation in (5, 6, 7, 8):
        save(tmp_path / "img" / "1.png", PIXELS, orientation)
        sample = segmentation_sample(tmp_path, base, key)
        assert torch.equal(sample["inputs"], plain["inputs"])
        assert torch.equal(sample["data_samples"].gt_sem_seg.data, plain["data_samples"].gt_sem_seg.data)
