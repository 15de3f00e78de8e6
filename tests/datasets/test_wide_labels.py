from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mmengine.registry import init_default_scope
from PIL import Image

import densevlm_mm.segmentation  # noqa: F401
from densevlm_mm.datasets.wide_labels import ADE20K847Dataset, PascalContext459Dataset
from densevlm_mm.vocabulary import Vocabulary

PIPELINE = [dict(type="LoadImageFromFile"), dict(type="LoadSegLabels"), dict(type="PackSegInputs")]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    init_default_scope("mmseg")
    for folder in ("images", "annotations"):
        (tmp_path / folder).mkdir()
    for name, labels in (("b", [[0, 255], [846, 65535]]), ("a", [[1, 1], [1, 1]])):
        Image.new("RGB", (2, 2)).save(tmp_path / "images" / f"{name}.jpg")
        Image.fromarray(np.array(labels, dtype=np.uint16)).save(tmp_path / "annotations" / f"{name}.png")
    return tmp_path


def build(root: Path, **kwargs: Any) -> ADE20K847Dataset:
    prefix = dict(img_path="images", seg_map_path="annotations")
    return ADE20K847Dataset(data_root=str(root), pipeline=PIPELINE, **dict(data_prefix=prefix) | kwargs)


def labels_of(dataset: ADE20K847Dataset, index: int) -> list:
    return dataset[index]["data_samples"].gt_sem_seg.data[0].tolist()


def test_labels_above_255_survive(root: Path) -> None:
    dataset = build(root)
    assert [Path(dataset.get_data_info(index)["img_path"]).stem for index in range(len(dataset))] == ["a", "b"]
    assert labels_of(dataset, 1) == [[0, 255], [846, 65535]]
    assert dataset.metainfo["ignore_index"] == 65535


def test_metainfo_is_the_packaged_vocabulary(root: Path) -> None:
    assert build(root).metainfo["classes"] == Vocabulary.load("ade20k_847").classes
    assert PascalContext459Dataset.METAINFO["classes"] == Vocabulary.load("pascal_context_459").classes


def test_classes_left_out_become_65535_and_not_class_255(root: Path) -> None:
    names = Vocabulary.load("ade20k_847").classes
    dataset = build(root, metainfo=dict(classes=(names[846], *names[1:846])))
    assert labels_of(dataset, 1) == [[65535, 255], [0, 65535]]
    assert len(dataset.metainfo["palette"]) == 846
    with pytest.raises(ValueError, match=r"has no classes \['chimera'\]"):
        build(root, metainfo=dict(classes=("chimera",)))


def test_list_of_images_is_followed(root: Path) -> None:
    (root / "val.txt").write_text("b\n")
    dataset = build(root, ann_file="val.txt")
    assert len(dataset) == 1


def test_missing_files_are_named(root: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"label folder .*nowhere does not exist"):
        build(root, data_prefix=dict(img_path="images", seg_map_path="nowhere"))
    with pytest.raises(FileNotFoundError, match="image folder"):
        build(root, data_prefix=dict(img_path="nowhere", seg_map_path="annotations"))
    with pytest.raises(FileNotFoundError, match="list of images"):
        build(root, ann_file="val.txt")


def test_8_bit_ignore_index_is_refused(root: Path) -> None:
    with pytest.raises(ValueError, match="65535, not 255"):
        build(root, ignore_index=255)
