"""The data set on checked files against mmdet's own."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mmdet.datasets import CocoDataset
from mmengine.registry import DATASETS, DefaultScope
from PIL import Image

import densevlm_mm.datasets.checked_coco  # noqa: F401

CLASSES = ("car", "ball", "kite")
OUTLINE = [[8.5, 9, 28, 9, 28, 29, 8.5, 29]]


def content() -> dict:
    rng = np.random.default_rng(0)
    images = [dict(id=9 - n, file_name=f"{n}.png", height=48, width=64) for n in range(5)]
    annotations: list[dict[str, Any]] = []
    for number in range(30):
        x, y, width, height = rng.integers(0, [40, 30, 24, 18])
        box = [int(x), float(y) + 0.25, int(width) + 0.5, int(height) + 0.5]
        annotations.append(
            dict(
                id=100 - number,
                image_id=images[number % 4]["id"],  # the last image has none
                category_id=(5, 2, 7, 8)[number % 4 if number < 28 else 3],
                bbox=box,
                area=box[2] * box[3],
                iscrowd=int(number % 11 == 0),
            )
        )
        if number % 3:
            annotations[-1]["segmentation"] = OUTLINE
        if number % 11 == 0:
            annotations[-1]["segmentation"] = dict(size=[48, 64], counts=[100, 5, 48 * 64 - 105])
        if number == 7:
            annotations[-1]["ignore"] = 1
    categories = [dict(id=5, name="car"), dict(id=2, name="ball"), dict(id=7, name="kite"), dict(id=8, name="other")]
    return dict(images=images, annotations=annotations, categories=categories)


def write(path: Path, data: dict) -> str:
    path.write_text(json.dumps(data))
    return str(path)


def build(ann_file: str, classes: tuple[str, ...] = CLASSES, **options: Any) -> Any:
    node = dict(ann_file=ann_file, metainfo=dict(classes=classes), data_prefix=dict(img="img"), pipeline=[])
    with DefaultScope.overwrite_default_scope("mmdet"):
        return DATASETS.build(dict(type="ClassOrderCocoDataset") | node | options)


def test_images_and_objects_are_those_of_mmdet(tmp_path: Path) -> None:
    path = write(tmp_path / "a.json", content())
    theirs = CocoDataset(
        ann_file=path, metainfo=dict(classes=CLASSES), data_prefix=dict(img="img"), pipeline=[], serialize_data=False
    )
    for serialize in (True, False):
        ours = build(path, serialize_data=serialize)
        assert len(ours) == len(theirs) == 5
        assert [ours.get_data_info(i) for i in range(5)] == [theirs.get_data_info(i) for i in range(5)]
        assert [ours.get_cat_ids(i) for i in range(5)] == [theirs.get_cat_ids(i) for i in range(5)]
        assert ours.cat_ids == theirs.cat_ids
        assert {key: set(value) for key, value in ours.cat_img_map.items()} == {
            key: set(theirs.cat_img_map[key]) for key in ours.cat_img_map
        }


def test_empty_images_are_filtered_as_in_mmdet(tmp_path: Path) -> None:
    path = write(tmp_path / "a.json", content())
    options: dict[str, Any] = dict(filter_cfg=dict(filter_empty_gt=True, min_size=32))
    theirs = CocoDataset(
        ann_file=path, metainfo=dict(classes=CLASSES), data_prefix=dict(img=""), pipeline=[], **options
    )
    assert len(build(path, **options)) == len(theirs) == 3
    with pytest.raises(ValueError, match=r"a\.json has no image that filter_cfg .*'min_size': 60.* leaves"):
        build(path, filter_cfg=dict(min_size=60))


def test_labels_follow_the_classes_and_not_the_file(tmp_path: Path) -> None:
    path = write(tmp_path / "a.json", content())
    one, other = build(path), build(path, ("kite", "car", "ball"))
    assert other.cat_ids == [7, 5, 2]
    for index in range(5):
        labels = [instance["bbox_label"] for instance in one.get_data_info(index)["instances"]]
        swapped = [instance["bbox_label"] for instance in other.get_data_info(index)["instances"]]
        assert swapped == [(1, 2, 0)[label] for label in labels]


def test_boxes_without_an_area_are_trained_on(tmp_path: Path) -> None:
    """[area_zero]: mmdet leaves them out without a word."""
    data = content()
    for annotation in data["annotations"]:
        annotation["area"] = 0
    path = write(tmp_path / "a.json", data)
    theirs = CocoDataset(ann_file=path, metainfo=dict(classes=CLASSES), data_prefix=dict(img=""), pipeline=[])
    assert sum(len(theirs.get_data_info(i)["instances"]) for i in range(5)) == 0
    ours = build(path)
    expected = build(write(tmp_path / "b.json", content()))
    assert [ours.get_data_info(i) for i in range(5)] == [expected.get_data_info(i) for i in range(5)]


def test_nothing_to_train_on_is_an_error_but_not_in_tests(tmp_path: Path) -> None:
    data = content()
    for annotation in data["annotations"]:
        annotation["iscrowd"] = 1
    path = write(tmp_path / "a.json", data)
    with pytest.raises(ValueError, match=r"a\.json has no object of the 3 classes to train on.* are crowds"):
        build(path)
    assert len(build(path, test_mode=True)) == 5


def test_masks_that_the_pipeline_loads_must_be_there(tmp_path: Path) -> None:
    pipeline = [dict(type="LoadAnnotations", with_bbox=True, with_mask=True)]
    with pytest.raises(
        ValueError, match=r"objects have no 'segmentation', which the pipeline loads .* annotation \d+ of"
    ):
        build(write(tmp_path / "a.json", content()), pipeline=pipeline)


def test_masks_reach_the_transforms(tmp_path: Path) -> None:
    data = content()
    for annotation in data["annotations"]:
        annotation.setdefault("segmentation", OUTLINE)
    Image.new("RGB", (64, 48)).save(tmp_path / "0.png")
    pipeline = [dict(type="densevlm_mm.LoadImage"), dict(type="LoadAnnotations", with_bbox=True, with_mask=True)]
    dataset = build(write(tmp_path / "a.json", data), pipeline=pipeline, data_prefix=dict(img=str(tmp_path)))
    results = dataset[0]
    assert results["gt_masks"].masks.shape == (len(results["gt_bboxes"]), 48, 64)
    assert results["gt_masks"].masks[results["gt_ignore_flags"]][0].sum() == 5


def test_names_outside_the_folder_need_roots(tmp_path: Path) -> None:
    data = content()
    data["images"][0]["file_name"] = str(tmp_path / "other" / "0.png")
    path = write(tmp_path / "a.json", data)
    with pytest.raises(ValueError, match=r"absolute path.*allowed_roots"):
        build(path)
    with pytest.raises(ValueError, match="absolute path"):
        build(path, allowed_roots=[str(tmp_path / "img")])
    dataset = build(path, allowed_roots=[str(tmp_path)])
    assert dataset.get_data_info(0)["img_path"] == data["images"][0]["file_name"]
    assert dataset.get_data_info(1)["img_path"] == "img/1.png"


def test_boxes_beside_the_image_and_narrower_than_a_pixel_are_left_out_as_in_mmdet(tmp_path: Path) -> None:
    data = content()
    for annotation, box in zip(data["annotations"], [[64.5, 0, 1, 5], [-1.5, 0, 1.2, 5], [3, 3, 0.5, 8]], strict=False):
        annotation["bbox"] = box
    path = write(tmp_path / "a.json", data)
    theirs = CocoDataset(ann_file=path, metainfo=dict(classes=CLASSES), data_prefix=dict(img="img"), pipeline=[])
    ours = build(path)
    assert [ours.get_data_info(i) for i in range(5)] == [theirs.get_data_info(i) for i in range(5)]


def test_objects365_can_reach_over_the_border(tmp_path: Path) -> None:
    names = DATASETS.get("mmdet.Objects365V1Dataset").METAINFO["classes"]
    data = content()
    data["categories"] = [dict(id=365 - n, name=name) for n, name in enumerate(names)]
    data["annotations"][0]["bbox"] = [-20, 3, 40, 10]
    dataset = build(
        write(tmp_path / "a.json", data), names, type="ClassOrderObjects365Dataset", metainfo=None, max_overhang=1e6
    )
    assert dataset.metainfo["classes"] == names
    assert dataset.get_data_info(0)["instances"][0]["bbox"] == [-20, 3, 20, 13]
    assert dataset.cat_ids == list(range(365, 0, -1))
