import json
from pathlib import Path
from typing import Any

import pytest
from mmdet.datasets import CocoDataset
from mmengine.registry import DATASETS, METRICS, DefaultScope

import densevlm_mm.datasets.ov_coco

# The ids that the official files give the 80 classes.
MISSING_IDS = {12, 26, 29, 30, 45, 66, 68, 69, 71, 83}
ID_OF = dict(zip(CocoDataset.METAINFO["classes"], (i for i in range(1, 91) if i not in MISSING_IDS), strict=True))
BOX = [10, 10, 20, 30]
OBJECTS: dict[int, list[tuple[str, dict]]] = {
    1: [("person", {}), ("dog", {})],
    2: [("dog", {})],
    3: [("traffic light", {})],
    4: [],
    5: [("person", dict(iscrowd=1, segmentation=dict(counts=[0, 4096], size=[64, 64])))],
    6: [("zebra", dict(bbox=[10, 10, 0.5, 8]))],  # mmdet takes no box narrower than a pixel
    7: [("stop sign", {}), ("toothbrush", {}), ("scissors", {})],
}


def write_official(path: Path, categories: list[str] | None = None) -> str:
    annotations: list[dict[str, Any]] = []
    for image, objects in OBJECTS.items():
        for name, extra in objects:
            annotation: dict[str, Any] = dict(
                id=len(annotations) + 1, image_id=image, category_id=ID_OF[name], bbox=BOX, area=600, iscrowd=0
            )
            annotations.append({**annotation, "segmentation": [[10, 10, 30, 10, 30, 40]], **extra})
    images = [dict(id=image, file_name=f"{image:012}.jpg", width=64, height=64) for image in OBJECTS]
    listed = [dict(id=ID_OF[name], name=name) for name in categories or ID_OF]
    path.write_text(json.dumps(dict(images=images, annotations=annotations, categories=listed)))
    return str(path)


def build(ann_file: str, **options: Any) -> Any:
    with DefaultScope.overwrite_default_scope("mmdet"):
        return DATASETS.build(
            dict(type="OVCocoDataset", ann_file=ann_file, data_prefix=dict(img=""), pipeline=[], **options)
        )


def contents(dataset: Any) -> dict[int, list[str]]:
    classes = dataset.metainfo["classes"]
    infos = [dataset.get_data_info(index) for index in range(len(dataset))]
    return {info["img_id"]: [classes[i["bbox_label"]] for i in info["instances"]] for info in infos}


def test_training_has_no_novel_annotation_and_no_image_without_base_class(tmp_path: Path) -> None:
    dataset = build(write_official(tmp_path / "train.json"), drop_novel=True)
    assert contents(dataset) == {1: ["person"], 5: ["person"], 6: [], 7: ["toothbrush"]}


def test_filter_cfg_goes_by_base_classes_too(tmp_path: Path) -> None:
    options = dict(drop_novel=True, filter_cfg=dict(filter_empty_gt=True, min_size=32))
    assert list(contents(build(write_official(tmp_path / "train.json"), **options))) == [1, 5, 6, 7]


def test_validation_has_all_65_classes_and_no_image_without_one(tmp_path: Path) -> None:
    dataset = build(write_official(tmp_path / "val.json"), drop_novel=False, test_mode=True)
    expected = {1: ["person", "dog"], 2: ["dog"], 5: ["person"], 6: [], 7: ["toothbrush", "scissors"]}
    assert contents(dataset) == expected


def test_labels_are_positions_among_the_65_in_both(tmp_path: Path) -> None:
    ann_file = write_official(tmp_path / "both.json")
    for drop_novel in (True, False):
        dataset = build(ann_file, drop_novel=drop_novel)
        assert len(dataset.metainfo["classes"]) == len(dataset.cat_ids) == 65
        assert dataset.cat_ids == sorted(dataset.cat_ids)
        last = dataset.get_data_info(len(dataset) - 1)
        assert last["instances"][0]["bbox_label"] == 64  # toothbrush


def test_crowds_are_kept_to_be_ignored(tmp_path: Path) -> None:
    dataset = build(write_official(tmp_path / "train.json"), drop_novel=True)
    (crowd,) = dataset.get_data_info(1)["instances"]
    assert crowd["ignore_flag"] == 1
    assert dataset.get_data_info(0)["instances"][0]["ignore_flag"] == 0


def test_labels_follow_the_classes_whatever_the_order_of_the_file(tmp_path: Path) -> None:
    ann_file = write_official(tmp_path / "val.json", sorted(ID_OF, reverse=True))
    assert contents(build(ann_file, drop_novel=False))[7] == ["toothbrush", "scissors"]


def test_a_file_that_lacks_classes_is_refused(tmp_path: Path) -> None:
    ann_file = write_official(tmp_path / "seen.json", [name for name in ID_OF if name not in ("cat", "dog")])
    with pytest.raises(ValueError, match=r"seen\.json: 2 of 65 classes .*'cat', 'dog'"):
        build(ann_file, drop_novel=True)


def test_a_file_without_annotation_of_the_classes_is_refused(tmp_path: Path) -> None:
    path = Path(write_official(tmp_path / "val.json"))
    path.write_text(json.dumps({**json.loads(path.read_text()), "annotations": []}))
    with pytest.raises(ValueError, match="no image with an annotation of the base classes"):
        build(str(path), drop_novel=True)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"nothing\.json"):
        build(str(tmp_path / "nothing.json"), drop_novel=True)


def test_drop_novel_must_be_said(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="drop_novel"):
        build(write_official(tmp_path / "train.json"))


def test_other_splits_are_metainfo(tmp_path: Path) -> None:
    ann_file = write_official(tmp_path / "train.json")
    split = dict(classes=("stop sign", "person"), base_classes=("stop sign",), novel_classes=("person",))
    assert contents(build(ann_file, drop_novel=True, metainfo=split)) == {7: ["stop sign"]}
    with pytest.raises(ValueError, match="must give all three"):
        build(ann_file, drop_novel=True, metainfo=dict(classes=("person",)))


def test_a_colour_for_each_class() -> None:
    metainfo = densevlm_mm.datasets.ov_coco.OVCocoDataset.METAINFO
    assert len(metainfo["palette"]) == 65
    assert metainfo["palette"][64] == CocoDataset.METAINFO["palette"][79]


def test_a_config_of_scope_mmdet_reaches_the_parts_of_detection(tmp_path: Path) -> None:
    import densevlm_mm.detection  # noqa: F401

    ann_file = write_official(tmp_path / "train.json")
    with DefaultScope.overwrite_default_scope("mmdet"):
        metric = METRICS.build(dict(type="OVCocoAP50Metric", ann_file=ann_file))
        dataset = DATASETS.build(
            dict(type="OVCocoDataset", ann_file=ann_file, drop_novel=True, data_prefix=dict(img=""), pipeline=[])
        )
        metric.dataset_meta = dataset.metainfo
        assert len(metric.novel_cat_ids) == 17
        assert DATASETS.get("mmdet.OVLVISDataset").__name__ == "OVLVISDataset"
