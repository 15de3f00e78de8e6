"""Figures per class against pycocotools and lvis, asked for one category at a time."""

import contextlib
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lvis import LVIS, LVISEval
from mmengine.registry import METRICS, DefaultScope
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

import densevlm_mm.detection  # noqa: F401

NAMES = ("alarm clock", "boat", "crowd of people", "cup", "unicorn", "zebra")  # one is a crowd only, one never occurs
IDS = {
    "ascending": (1, 2, 3, 4, 5, 6),
    "descending": (6, 5, 4, 3, 2, 1),
    "shuffled": (4, 1, 6, 2, 5, 3),
    "gapped": (90, 7, 33, 2, 1000, 8),
    "from zero": (3, 0, 1, 5, 4, 2),
}
CLASS_ORDERS = {"the file's": (0, 1, 2, 3, 4, 5), "novel last": (1, 3, 5, 2, 4, 0), "backwards": (5, 4, 3, 2, 1, 0)}
NOVEL = ("alarm clock", "cup", "unicorn")


def world(ids: tuple[int, ...], with_names: bool = True) -> tuple[dict, dict[int, list[tuple[str, list, float]]]]:
    """Annotations with these category ids, and detections: image to name, xyxy box and score."""
    rng = np.random.default_rng(3)
    annotations: list[dict] = []
    found: dict[int, list[tuple[str, list, float]]] = {}
    for image in range(1, 7):
        found[image] = []
        for name in rng.choice([name for name in NAMES if name != "unicorn"], size=5):
            x, y = rng.integers(0, 60, 2).tolist()
            w, h = rng.integers(12, 40, 2).tolist()
            annotations.append(
                dict(
                    id=len(annotations) + 1,
                    image_id=image,
                    category_id=ids[NAMES.index(name)],
                    bbox=[x, y, w, h],
                    area=w * h,
                    iscrowd=int(name == "crowd of people"),
                    segmentation=[[x, y, x + w, y, x + w, y + h, x, y + h]],
                )
            )
            called = name if rng.random() < 0.7 else str(rng.choice(NAMES))
            shift = rng.integers(-3, 4, 4)
            found[image].append(
                (called, [x + shift[0], y + shift[1], x + w + shift[2], y + h + shift[3]], rng.random())
            )
    images = [dict(id=image, file_name=f"{image}.png", width=100, height=100) for image in found]
    categories = [dict(id=number, name=name.title().replace(" ", "_")) for number, name in zip(ids, NAMES, strict=True)]
    return dict(images=images, annotations=annotations, categories=categories), found


def write(path: Path, content: dict) -> str:
    path.write_text(json.dumps(content))
    return str(path)


def samples(found: dict, classes: tuple[str, ...], vocabulary: tuple[str, ...] | None = None) -> list[dict]:
    """Data samples whose labels are places in the vocabulary, by default that of the data set."""
    result = []
    for image, objects in found.items():
        names = [name for name, _, _ in objects]
        predicted: dict[str, Any] = dict(
            bboxes=torch.tensor([box for _, box, _ in objects], dtype=torch.float32),
            scores=torch.tensor([score for _, _, score in objects]),
            labels=torch.tensor([(vocabulary or classes).index(name) for name in names]),
        )
        if vocabulary:
            predicted["label_names"] = names
        result.append(dict(img_id=image, ori_shape=(100, 100), pred_instances=predicted))
    return result


def evaluate(kind: str, ann_file: str, meta: dict, data: list[dict], **options: Any) -> dict[str, float]:
    with DefaultScope.overwrite_default_scope("mmdet"):
        metric = METRICS.build(dict(type=kind, ann_file=ann_file, **options))
    metric.dataset_meta = meta
    metric.process({}, data)
    return metric.evaluate(len(data))


def one_at_a_time(ann_file: str, found: dict, ids: tuple[int, ...]) -> dict[str, dict[str, float]]:
    """AP and AP50 of every class by a run of pycocotools over its category alone; -1 without ground truth."""
    detections = [
        dict(image_id=image, category_id=ids[NAMES.index(name)], bbox=[x1, y1, x2 - x1, y2 - y1], score=score)
        for image, objects in found.items()
        for name, (x1, y1, x2, y2), score in objects
    ]
    figures = {}
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(ann_file)
        for category, name in zip(ids, NAMES, strict=True):
            run = COCOeval(truth, truth.loadRes([dict(each) for each in detections]), "bbox")
            run.params.catIds = [category]
            run.params.maxDets = [1, 10, 1000]
            run.evaluate()
            run.accumulate()
            precision = run.eval["precision"][:, :, 0, 0, -1]
            figures[name] = dict(
                ap=float(precision[precision > -1].mean()) if (precision > -1).any() else -1.0,
                ap50=float(precision[0][precision[0] > -1].mean()) if (precision[0] > -1).any() else -1.0,
            )
    return figures


def mean(figures: dict[str, dict[str, float]], key: str, names: tuple[str, ...]) -> float:
    values = [figures[name][key] for name in names if figures[name][key] > -1]
    return float(np.mean(values)) if values else -1.0


@pytest.mark.parametrize("order", CLASS_ORDERS.values(), ids=CLASS_ORDERS)
@pytest.mark.parametrize("ids", IDS.values(), ids=IDS)
def test_base_novel_and_per_class_figures_are_those_of_pycocotools(
    ids: tuple[int, ...], order: tuple[int, ...], tmp_path: Path
) -> None:
    content, found = world(ids)
    ann_file = write(tmp_path / "val.json", content)
    classes = tuple(NAMES[index] for index in order)
    base = tuple(name for name in classes if name not in NOVEL)
    meta = dict(classes=classes, base_classes=base, novel_classes=NOVEL)
    data = samples(found, classes)
    figures = evaluate("OVCocoAP50Metric", ann_file, meta, data, classwise=True)
    expected = one_at_a_time(ann_file, found, ids)
    assert expected["crowd of people"]["ap"] == expected["unicorn"]["ap"] == -1
    assert len({round(each["ap"], 3) for each in expected.values()}) == 5  # a row too high or too low would be seen
    for key, names in (("novel", NOVEL), ("base", base), ("all", classes)):
        assert figures[f"coco/{key}_ap50"] == pytest.approx(mean(expected, "ap50", names), abs=1e-12)
    assert figures["coco/novel_ap"] == pytest.approx(mean(expected, "ap", NOVEL), abs=1e-12)
    for name in NAMES:
        ap = expected[name]["ap"]
        assert figures[f"coco/{name}_precision"] == pytest.approx(ap if ap > -1 else np.nan, abs=6e-4, nan_ok=True)
    plain = evaluate("ClassOrderCocoMetric", ann_file, meta, data, classwise=True)
    assert plain["coco/bbox_mAP"] == pytest.approx(mean(expected, "ap", NAMES), abs=6e-4)
    for name in NAMES:
        assert plain[f"coco/{name}_precision"] == pytest.approx(figures[f"coco/{name}_precision"], nan_ok=True)


def test_per_class_figures_are_called_as_the_data_set_calls_the_classes(tmp_path: Path) -> None:
    content, found = world(IDS["gapped"])
    ann_file = write(tmp_path / "val.json", content)
    classes = tuple(name.upper() for name in NAMES)
    data = samples({image: [(n.upper(), b, s) for n, b, s in objects] for image, objects in found.items()}, classes)
    figures = evaluate("ClassOrderCocoMetric", ann_file, dict(classes=classes), data, classwise=True)
    expected = one_at_a_time(ann_file, found, IDS["gapped"])
    assert figures["coco/ALARM CLOCK_precision"] == pytest.approx(expected["alarm clock"]["ap"], abs=6e-4)


@pytest.mark.parametrize("kind", ["OVCocoAP50Metric", "ClassOrderCocoMetric"])
def test_the_models_vocabulary_may_have_another_order_than_the_data_set(kind: str, tmp_path: Path) -> None:
    content, found = world(IDS["shuffled"])
    ann_file = write(tmp_path / "val.json", content)
    meta = dict(classes=NAMES, base_classes=("boat", "zebra", "crowd of people"), novel_classes=NOVEL)
    same = evaluate(kind, ann_file, meta, samples(found, NAMES))
    assert evaluate(kind, ann_file, meta, samples(found, NAMES, NAMES[::-1])) == same
    sample = samples(found, NAMES)[0]
    sample["pred_instances"] |= dict(labels=torch.tensor([5]), label_names=["kite"])
    with pytest.raises(ValueError, match=r"the model's class 5 is 'kite', which is none of the data set's 6 classes"):
        evaluate(kind, ann_file, meta, [sample])


FREQUENCIES = dict(zip(NAMES, "rffrcc", strict=True))


def lvis_world(ids: tuple[int, ...]) -> tuple[dict, dict]:
    content, found = world(ids)
    for annotation in content["annotations"]:
        annotation.pop("iscrowd")
    for category, name in zip(content["categories"], NAMES, strict=True):
        category["frequency"] = FREQUENCIES[name]
    for image in content["images"]:
        image |= dict(neg_category_ids=list(ids), not_exhaustive_category_ids=[ids[1]] if image["id"] == 2 else [])
    return content, found


def lvis_one_at_a_time(ann_file: str, found: dict, ids: tuple[int, ...]) -> dict[str, float]:
    """AP of every class by a run of lvis over its category alone; -1 without ground truth."""
    detections = [
        dict(image_id=image, category_id=ids[NAMES.index(name)], bbox=[x1, y1, x2 - x1, y2 - y1], score=score)
        for image, objects in found.items()
        for name, (x1, y1, x2, y2), score in objects
    ]
    figures = {}
    for category, name in zip(ids, NAMES, strict=True):
        run = LVISEval(LVIS(ann_file), detections, "bbox")
        run.params.cat_ids = [category]
        run.evaluate()
        run.accumulate()
        precision = run.eval["precision"][:, :, 0, 0]
        figures[name] = float(precision[precision > -1].mean()) if (precision > -1).any() else -1.0
    return figures


@pytest.mark.parametrize("order", CLASS_ORDERS.values(), ids=CLASS_ORDERS)
@pytest.mark.parametrize("ids", IDS.values(), ids=IDS)
def test_figures_of_lvis_are_those_of_lvis_one_category_at_a_time(
    ids: tuple[int, ...], order: tuple[int, ...], tmp_path: Path
) -> None:
    content, found = lvis_world(ids)
    ann_file = write(tmp_path / "val.json", content)
    classes = tuple(NAMES[index] for index in order)
    figures = evaluate("OVLVISMetric", ann_file, dict(classes=classes), samples(found, classes), classwise=True)
    expected = lvis_one_at_a_time(ann_file, found, ids)
    assert expected["unicorn"] == -1
    assert len({round(ap, 3) for ap in expected.values()}) == 6
    for name, ap in expected.items():
        shown = ap if ap > -1 else np.nan
        assert figures[f"lvis/{name}_precision"] == pytest.approx(shown, abs=6e-4, nan_ok=True)
    for key, letter in (("APr", "r"), ("APc", "c"), ("APf", "f"), ("AP", "rcf")):
        values = [ap for name, ap in expected.items() if FREQUENCIES[name] in letter and ap > -1]
        assert figures[f"lvis/bbox_{key}"] == pytest.approx(np.mean(values), abs=6e-4)


def test_lvis_figures_of_some_classes_of_a_file(tmp_path: Path) -> None:
    ids = IDS["gapped"]
    content, found = lvis_world(ids)
    ann_file = write(tmp_path / "val.json", content)
    classes = ("zebra", "cup")
    kept = {image: [each for each in objects if each[0] in classes] for image, objects in found.items()}
    figures = evaluate("OVLVISMetric", ann_file, dict(classes=classes), samples(kept, classes))
    expected = lvis_one_at_a_time(ann_file, found, ids)
    assert figures["lvis/bbox_APr"] == pytest.approx(expected["cup"], abs=6e-4)
    assert figures["lvis/bbox_APf"] == -1


def test_lvis_figures_of_a_run_that_finds_nothing_are_zero(tmp_path: Path) -> None:
    content, found = lvis_world(IDS["ascending"])
    ann_file = write(tmp_path / "val.json", content)
    none: dict[int, list] = {image: [] for image in found}
    data = samples(none, NAMES)
    for sample in data:
        sample["pred_instances"] |= dict(bboxes=torch.zeros(0, 4), masks=torch.zeros(0, 100, 100, dtype=torch.bool))
    figures = evaluate("OVLVISMetric", ann_file, dict(classes=NAMES), data, metric=["bbox", "segm"])
    assert {figures[f"lvis/{kind}_AP{end}"] for kind in ("bbox", "segm") for end in ("", "r", "c", "f")} == {0.0}
    assert figures["lvis/bbox_APl"] == -1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda content: content["categories"][2].pop("frequency"), "1 categories have no frequency"),
        (
            lambda content: content["images"][3].pop("neg_category_ids"),
            r"image 4 \(4\.png\): 'neg_category_ids' is missing",
        ),
        (lambda content: content["categories"][5].update(name="x"), "1 of 6 classes are not the name of exactly one"),
    ],
)
def test_lvis_files_that_lack_something_are_named_before_the_first_image(change, message, tmp_path: Path) -> None:
    content, _ = lvis_world(IDS["ascending"])
    change(content)
    ann_file = write(tmp_path / "val.json", content)
    with pytest.raises(ValueError, match=rf"val\.json: {message}"):
        evaluate("OVLVISMetric", ann_file, dict(classes=NAMES), [])
    with pytest.raises(ValueError, match="metric must be 'bbox', 'segm' or both"):
        evaluate("OVLVISMetric", ann_file, dict(classes=NAMES), [], metric="proposal")


def test_a_subset_of_the_files_classes_leaves_the_others_out(tmp_path: Path) -> None:
    content, found = world(IDS["descending"])
    ann_file = write(tmp_path / "val.json", content)
    classes = ("zebra", "boat")
    kept = {image: [each for each in objects if each[0] in classes] for image, objects in found.items()}
    figures = evaluate("ClassOrderCocoMetric", ann_file, dict(classes=classes), samples(kept, classes), classwise=True)
    expected = one_at_a_time(ann_file, found, IDS["descending"])
    for name in classes:
        assert figures[f"coco/{name}_precision"] == pytest.approx(expected[name]["ap"], abs=6e-4)
    assert figures["coco/bbox_mAP"] == pytest.approx(mean(expected, "ap", classes), abs=6e-4)


def test_proposals_do_not_depend_on_the_order_of_classes_and_images(tmp_path: Path) -> None:
    content, found = world(IDS["gapped"])
    ann_file = write(tmp_path / "val.json", content)
    options = dict(metric="proposal", proposal_nums=(3, 100, 1000))
    figures = evaluate("ClassOrderCocoMetric", ann_file, dict(classes=NAMES), samples(found, NAMES), **options)
    backwards = samples(found, NAMES[::-1])[::-1]
    assert evaluate("ClassOrderCocoMetric", ann_file, dict(classes=NAMES[::-1]), backwards, **options) == figures
    assert figures["coco/AR@1000"] > 0
    with pytest.raises(ValueError, match="use metric='proposal'"):
        evaluate("ClassOrderCocoMetric", ann_file, dict(classes=NAMES), backwards, metric="proposal_fast")


def test_a_name_of_two_categories_is_refused(tmp_path: Path) -> None:
    content, found = world(IDS["ascending"])
    content["categories"].append(dict(id=77, name="BOAT"))
    ann_file = write(tmp_path / "val.json", content)
    with pytest.raises(ValueError, match=r"val\.json: 1 of 6 classes .*\['boat'\]; \['Boat', 'BOAT'\] are one name"):
        evaluate("ClassOrderCocoMetric", ann_file, dict(classes=NAMES), samples(found, NAMES))
    with pytest.raises(ValueError, match="'boat' and 'Boat' are one name"):
        evaluate("ClassOrderCocoMetric", ann_file, dict(classes=(*NAMES, "Boat")), samples(found, NAMES))
