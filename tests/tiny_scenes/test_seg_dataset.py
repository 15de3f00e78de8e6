from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mmengine.registry import init_default_scope
from PIL import Image

import densevlm_mm.segmentation  # noqa: F401
from densevlm_mm.datasets.samplers import ResumableSampler, SampleIndex
from densevlm_mm.datasets.seeded import SeededDataset
from densevlm_mm.tiny_scenes import generate_tiny_scenes
from densevlm_mm.tiny_scenes.classes import CLASS_NAMES, HELD_OUT_CLASSES
from densevlm_mm.tiny_scenes.seg_dataset import TinyScenesSegDataset

PIPELINE = [
    dict(type="LoadImageFromFile"),
    dict(type="LoadAnnotations"),
    dict(type="RandomFlip", prob=0.5),
    dict(type="PhotoMetricDistortion"),
    dict(type="PackSegInputs"),
]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("tiny")
    generate_tiny_scenes(root, num_train=12, num_val=2, seed=0)
    return root


@pytest.fixture(autouse=True)
def _scope() -> None:
    init_default_scope("mmseg")


def build(world: Path, split: str = "train", **kwargs: Any) -> TinyScenesSegDataset:
    prefix = dict(img_path=split, seg_map_path=f"semantic_{split}")
    return TinyScenesSegDataset(data_root=str(world), data_prefix=prefix, **dict(pipeline=PIPELINE[:2]) | kwargs)


def test_held_out_classes_are_ignored_and_nothing_else_changes(world: Path) -> None:
    whole, partial = build(world), build(world, ignore_classes=HELD_OUT_CLASSES)
    assert partial.metainfo["classes"] == CLASS_NAMES
    held_out = [CLASS_NAMES.index(name) for name in HELD_OUT_CLASSES]
    seen_one = False
    for index in range(len(whole)):
        path = Path(whole.get_data_info(index)["seg_map_path"])
        with Image.open(path) as image:
            of_file = np.asarray(image)
        assert (whole[index]["gt_seg_map"] == of_file).all()
        is_held_out = np.isin(of_file, held_out)
        seen_one |= bool(is_held_out.any())
        assert (partial[index]["gt_seg_map"] == np.where(is_held_out, 255, of_file)).all()
    assert seen_one


def test_unknown_class_and_missing_folder_are_named(world: Path) -> None:
    with pytest.raises(ValueError, match=r"TinyScenes has no \['snwo'\]"):
        build(world, ignore_classes=("snwo",))
    with pytest.raises(FileNotFoundError, match=r"image folder .*test does not exist"):
        build(world, "test")


def draw(dataset: SeededDataset, index: SampleIndex) -> tuple[torch.Tensor, torch.Tensor]:
    sample = dataset[index]
    return sample["inputs"], sample["data_samples"].gt_sem_seg.data


def test_augmentation_of_mmseg_follows_seed_epoch_and_index_alone(world: Path) -> None:
    dataset = SeededDataset(build(world, pipeline=PIPELINE))
    sampler = ResumableSampler(dataset, seed=3)
    sampler.set_epoch(1)
    whole = [draw(dataset, index) for index in sampler]
    again = SeededDataset(build(world, pipeline=PIPELINE))
    resumed = ResumableSampler(again, seed=3)
    resumed.set_epoch(1)
    resumed.set_position(8)
    np.random.seed(99)
    rest = [draw(again, index) for index in resumed]
    assert len(rest) == 4
    for expected, found in zip(whole[8:], rest, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(expected, found, strict=True))
    other_epoch = [draw(dataset, SampleIndex(index, epoch=2, seed=3)) for index in sampler]
    assert not all(torch.equal(a[0], b[0]) for a, b in zip(whole, other_epoch, strict=True))
