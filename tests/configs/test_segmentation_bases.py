"""The segmentation data bases over files in the layout that they expect, up to the metric."""

from pathlib import Path

import numpy as np
import pytest
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from mmseg.registry import METRICS
from PIL import Image

import densevlm_mm.segmentation  # noqa: F401
from densevlm_mm.datasets.seeded import SeededDataset
from densevlm_mm.tiny_scenes.classes import HELD_OUT_CLASSES, SEEN_CLASSES

BASES = Path(__file__).resolve().parents[2] / "configs" / "_base_" / "datasets"

# name: images, labels, list of images, labels in the file, the same as the model sees them, type
EVALUATIONS = {
    "ade20k_150": ("images/validation", "annotations/validation", None, [0, 1, 150], [255, 0, 149], np.uint8),
    "ade20k_847": ("images/validation", "annotations/validation", None, [0, 846, 65535], [0, 846, 65535], np.uint16),
    "pascal_context_459": (
        "VOC2010/JPEGImages",
        "annotations_459",
        "pascal_context_459_val.txt",
        [255, 458, 65535],
        [255, 458, 65535],
        np.uint16,
    ),
    "pascal_context_59": (
        "JPEGImages",
        "SegmentationClassContext",
        "ImageSets/SegmentationContext/val.txt",
        [0, 1, 59],
        [255, 0, 58],
        np.uint8,
    ),
}


def write(root: Path, images: str, labels: str, values: list[int], dtype: type, suffix: str = ".png") -> None:
    (root / images).mkdir(parents=True)
    (root / labels).mkdir(parents=True)
    Image.new("RGB", (30, 20)).save(root / images / "a.jpg")
    Image.fromarray(np.resize(np.array(values, dtype=dtype), (20, 30))).save(root / labels / f"a{suffix}")


@pytest.mark.parametrize("name", EVALUATIONS)
def test_evaluation_base_reads_its_layout(name: str, tmp_path: Path) -> None:
    images, labels, image_list, values, expected, dtype = EVALUATIONS[name]
    write(tmp_path, images, labels, values, dtype)
    if image_list:
        (tmp_path / image_list).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / image_list).write_text("a\n")
    cfg = Config.fromfile(str(BASES / f"seg_{name}.py"))
    init_default_scope("mmseg")
    loader = cfg.test_dataloader
    loader.dataset.data_root = str(tmp_path)
    loader.update(num_workers=0, persistent_workers=False)
    built = Runner.build_dataloader(loader)
    (batch,) = list(built)
    (sample,) = batch["data_samples"]
    assert batch["inputs"][0].shape == (3, 640, 960)
    truth = sample.gt_sem_seg.data
    assert truth.shape == (1, 20, 30)
    assert truth.unique().tolist() == sorted(expected)

    metric = METRICS.build(cfg.test_evaluator)
    metric.dataset_meta = built.dataset.metainfo
    prediction = dict(data=truth.where(truth < len(built.dataset.metainfo["classes"]), 0))
    metric.process({}, [sample.to_dict() | dict(pred_sem_seg=prediction)])
    figures = metric.evaluate(1)
    assert figures["mIoU_present"] == figures["aAcc"] == 100
    assert figures["num_present"] == 2


@pytest.mark.parametrize("name", EVALUATIONS)
def test_augmented_test_differs_from_the_plain_one_by_flips_alone(name: str) -> None:
    cfg = Config.fromfile(str(BASES / f"seg_{name}.py"))
    load, resize, labels, pack = cfg.test_pipeline
    augmented = cfg.tta_pipeline[1].transforms
    assert cfg.tta_pipeline[0] == load
    assert [augmented[0], augmented[2], augmented[3]] == [[resize], [labels], [pack]]
    assert sorted(flip.prob for flip in augmented[1]) == [0, 1]


@pytest.mark.parametrize("name", EVALUATIONS)
def test_bases_of_training_evaluation_and_runtime_go_together(name: str, tmp_path: Path) -> None:
    bases = [BASES / "seg_coco_stuff164k.py", BASES / f"seg_{name}.py", BASES.parent / "seg_runtime.py"]
    (tmp_path / "config.py").write_text(f"_base_ = {[str(base) for base in bases]}")
    cfg = Config.fromfile(str(tmp_path / "config.py"))
    assert cfg.default_scope == "mmseg"
    assert cfg.test_evaluator.vocabulary == name
    assert cfg.test_dataloader == cfg.val_dataloader


def test_tiny_scenes_base_has_the_split_of_tiny_scenes() -> None:
    cfg = Config.fromfile(str(BASES / "seg_tiny_scenes.py"))
    assert tuple(cfg.train_dataloader.dataset.dataset.ignore_classes) == HELD_OUT_CLASSES
    assert tuple(cfg.seen_classes) == SEEN_CLASSES


def test_coco_stuff_base_reads_its_layout(tmp_path: Path) -> None:
    labels = "stuffthingmaps/train2017"
    write(tmp_path, "train2017", labels, [0, 170, 255], np.uint8, "_labelTrainIds.png")
    Image.new("L", (30, 20)).save(tmp_path / labels / "a.png")  # the pixel map that the labels were made from
    cfg = Config.fromfile(str(BASES / "seg_coco_stuff164k.py"))
    init_default_scope("mmseg")
    cfg.train_dataloader.dataset.dataset.data_root = str(tmp_path)
    cfg.train_dataloader.update(num_workers=0, persistent_workers=False, batch_size=1, pin_memory=False)
    built = Runner.build_dataloader(cfg.train_dataloader)
    assert isinstance(built.dataset, SeededDataset)
    (batch,) = list(built)
    truth = batch["data_samples"][0].gt_sem_seg.data
    assert batch["inputs"][0].shape[1:] == truth.shape[1:]
    assert truth.unique().tolist() == [0, 170, 255]
