import json
from pathlib import Path
from typing import Any

import pytest
import torch
from mmdet.datasets import LVISV1Dataset
from mmengine.registry import DATASETS, METRICS, DefaultScope

import densevlm_mm.datasets.ov_lvis
import densevlm_mm.evaluation.ov_lvis_metric
from densevlm_mm.vocabulary.splits import load_split

SPLIT = load_split("ov_lvis_1203")
NAMES = list(SPLIT["classes"])
BASE, RARE = NAMES.index("cat"), NAMES.index("applesauce")
# Image id to labels.
OBJECTS = {1: [BASE, RARE], 2: [RARE], 3: [], 4: [BASE]}


def write_lvis(path: Path, names: list[str] = NAMES, **frequencies: str | None) -> str:
    """An LVIS v1 file with all 1203 categories, as the official ones are, spelling mistake included."""
    categories = [
        dict(id=label + 1, name=name, frequency="r" if name in SPLIT["novel_classes"] else "c")
        for label, name in enumerate(names)
    ]
    for category in categories:
        category["frequency"] = frequencies.get(str(category["name"]), category["frequency"])
        if category["name"] == "speaker_(stereo_equipment)":
            category["name"] = "speaker_(stero_equipment)"
    images: list[dict] = [
        dict(
            id=image,
            width=64,
            height=64,
            coco_url=f"http://images.cocodataset.org/train2017/{image:012}.jpg",
            neg_category_ids=[],
            not_exhaustive_category_ids=[],
        )
        for image in OBJECTS
    ]
    annotations: list[dict] = []
    for image, labels in OBJECTS.items():
        for label in labels:
            box = [5 + 25 * len(annotations) % 30, 8, 20, 30]
            x, y, w, h = box
            outline = [[x, y, x + w, y, x + w, y + h, x, y + h]]
            annotations.append(
                dict(
                    id=len(annotations) + 1,
                    image_id=image,
                    category_id=label + 1,
                    bbox=box,
                    area=600,
                    segmentation=outline,
                )
            )
    path.write_text(json.dumps(dict(images=images, annotations=annotations, categories=categories)))
    return str(path)


def build(ann_file: str, **options: Any) -> Any:
    config = dict(type="OVLVISDataset", ann_file=ann_file, data_prefix=dict(img=""), pipeline=[], **options)
    with DefaultScope.overwrite_default_scope("mmdet"):
        return DATASETS.build(config)


def labels_of(dataset: Any) -> dict[int, list[int]]:
    infos = [dataset.get_data_info(index) for index in range(len(dataset))]
    return {info["img_id"]: [instance["bbox_label"] for instance in info["instances"]] for info in infos}


def test_training_has_no_rare_annotation_and_keeps_1203_labels(tmp_path: Path) -> None:
    dataset = build(write_lvis(tmp_path / "train.json"), drop_novel=True)
    assert labels_of(dataset) == {1: [BASE], 2: [], 3: [], 4: [BASE]}
    assert len(dataset.metainfo["classes"]) == len(dataset.cat_ids) == 1203


def test_filter_empty_gt_drops_images_that_had_rare_annotations_only(tmp_path: Path) -> None:
    options = dict(drop_novel=True, filter_cfg=dict(filter_empty_gt=True))
    assert list(labels_of(build(write_lvis(tmp_path / "train.json"), **options))) == [1, 4]


def test_validation_is_that_of_mmdet(tmp_path: Path) -> None:
    ann_file = write_lvis(tmp_path / "val.json")
    ours = build(ann_file, drop_novel=False, test_mode=True)
    theirs = LVISV1Dataset(ann_file=ann_file, data_prefix=dict(img=""), pipeline=[], test_mode=True)
    assert labels_of(ours) == OBJECTS
    assert [ours.get_data_info(i) for i in range(len(ours))] == [theirs.get_data_info(i) for i in range(len(theirs))]


def test_image_paths_come_from_the_url(tmp_path: Path) -> None:
    dataset = build(write_lvis(tmp_path / "train.json"), drop_novel=True, data_root="data/lvis")
    assert dataset.get_data_info(0)["img_path"] == "data/lvis/train2017/000000000001.jpg"


def test_metainfo_is_the_packaged_split_for_official_frequencies(tmp_path: Path) -> None:
    metainfo = build(write_lvis(tmp_path / "train.json"), drop_novel=True).metainfo
    assert {key: metainfo[key] for key in SPLIT} == SPLIT
    assert (len(metainfo["base_classes"]), len(metainfo["novel_classes"])) == (866, 337)


def test_the_frequency_in_the_file_decides(tmp_path: Path) -> None:
    dataset = build(write_lvis(tmp_path / "train.json", cat="r", applesauce="f"), drop_novel=True)
    assert labels_of(dataset) == {1: [RARE], 2: [RARE], 3: [], 4: []}
    assert "cat" in dataset.metainfo["novel_classes"]
    assert "applesauce" in dataset.metainfo["base_classes"]
    assert "cat" in densevlm_mm.datasets.ov_lvis.OVLVISDataset.METAINFO["base_classes"]  # the class's own is as it was


def test_files_of_other_classes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=rf"short\.json: 1 of 1203 classes .*'{NAMES[-1]}'"):
        build(write_lvis(tmp_path / "short.json", NAMES[:-1]), drop_novel=True)
    twice = [*NAMES[:-1], NAMES[0].upper()]
    with pytest.raises(ValueError, match=r"twice\.json: 2 of 1203 classes .*are one name"):
        build(write_lvis(tmp_path / "twice.json", twice), drop_novel=True)
    with pytest.raises(ValueError, match=r"1 categories have no frequency r, c or f, such as \['cat'\]"):
        build(write_lvis(tmp_path / "frequency.json", cat=None), drop_novel=True)
    with pytest.raises(FileNotFoundError, match=r"nothing\.json"):
        build(str(tmp_path / "nothing.json"), drop_novel=True)


def test_lvis_metric_gives_rare_and_common_precision(tmp_path: Path) -> None:
    ann_file = write_lvis(tmp_path / "val.json")
    dataset = build(ann_file, drop_novel=False, test_mode=True)
    with DefaultScope.overwrite_default_scope("mmdet"):
        metric = METRICS.build(dict(type="OVLVISMetric", ann_file=ann_file, metric=["bbox", "segm"]))
    metric.dataset_meta = dataset.metainfo
    for index in range(len(dataset)):
        info = dataset.get_data_info(index)
        found = [instance for instance in info["instances"] if instance["bbox_label"] == BASE]
        masks = torch.zeros(len(found), 64, 64, dtype=torch.bool)
        for mask, instance in zip(masks, found, strict=True):
            x1, y1, x2, y2 = map(int, instance["bbox"])
            mask[y1:y2, x1:x2] = True
        prediction = dict(
            bboxes=torch.tensor([instance["bbox"] for instance in found], dtype=torch.float32).reshape(-1, 4),
            scores=torch.full((len(found),), 0.9),
            labels=torch.full((len(found),), BASE),
            masks=masks,
        )
        metric.process({}, [dict(img_id=info["img_id"], ori_shape=(64, 64), pred_instances=prediction)])
    figures = metric.evaluate(len(dataset))
    for kind in ("bbox", "segm"):  # every base object found, no rare one
        assert figures[f"lvis/{kind}_APr"] == 0.0
        assert figures[f"lvis/{kind}_APc"] == 1.0
        assert figures[f"lvis/{kind}_AP"] == 0.5


def test_labels_are_places_among_the_classes_whatever_the_order_of_the_file(tmp_path: Path) -> None:
    path = Path(write_lvis(tmp_path / "train.json"))
    content = json.loads(path.read_text())
    content["categories"] = content["categories"][::-1]
    path.write_text(json.dumps(content))
    assert labels_of(build(str(path), drop_novel=False)) == OBJECTS
    assert labels_of(build(str(path), drop_novel=True)) == {1: [BASE], 2: [], 3: [], 4: [BASE]}
    own = dict(classes=("Applesauce", "CAT"))
    dataset = build(str(path), drop_novel=True, metainfo=own)
    assert labels_of(dataset) == {1: [1], 2: [], 3: [], 4: [1]}
    assert dataset.metainfo["novel_classes"] == ("Applesauce",)


def test_a_file_of_ones_own_classes_is_read(tmp_path: Path) -> None:
    path = Path(write_lvis(tmp_path / "own.json"))
    content = json.loads(path.read_text())
    content["categories"] = [
        dict(id=RARE + 1, name="Tram line 5", frequency="r"),
        dict(id=BASE + 1, name="delivery_van", frequency="f"),
        dict(id=7, name="unused", frequency="c"),
    ]
    path.write_text(json.dumps(content))
    dataset = build(str(path), drop_novel=True, metainfo=dict(classes=("delivery van", "tram line 5")))
    assert labels_of(dataset) == {1: [0], 2: [], 3: [], 4: [0]}
    assert dataset.metainfo["base_classes"] == ("delivery van",)
    with pytest.raises(ValueError, match=r"own\.json: 1203 of 1203 classes .* give metainfo=dict\(classes="):
        build(str(path), drop_novel=True)
    given = dict(
        classes=("delivery van", "tram line 5"), novel_classes=("delivery van",), base_classes=("tram line 5",)
    )
    with pytest.raises(ValueError, match=r"look at \['delivery van', 'tram line 5'\]"):
        build(str(path), drop_novel=True, metainfo=given)
