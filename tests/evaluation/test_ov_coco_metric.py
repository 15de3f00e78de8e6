import json
from pathlib import Path
from typing import Any

import pytest
import torch
from mmdet.datasets import CocoDataset
from mmengine.evaluator import Evaluator
from mmengine.registry import METRICS, DefaultScope

from densevlm_mm.evaluation.figure_names import figure_names
from densevlm_mm.evaluation.ov_coco_metric import OVCocoAP50Metric
from densevlm_mm.vocabulary.splits import load_split

MISSING_IDS = {12, 26, 29, 30, 45, 66, 68, 69, 71, 83}
ID_OF = dict(zip(CocoDataset.METAINFO["classes"], (i for i in range(1, 91) if i not in MISSING_IDS), strict=True))
META: dict[str, Any] = load_split("ov_coco_65")
# Image to objects: class and left edge. Base: person, zebra. Novel: dog, cat. Unused: stop sign.
TRUTH = {
    1: [("person", 0), ("dog", 30)],
    2: [("person", 0), ("zebra", 60)],
    3: [("cat", 10), ("stop sign", 60)],
    4: [("stop sign", 10)],  # OVCocoDataset drops it, so no prediction is submitted
}


def box_xyxy(left: float) -> list[float]:
    return [left, 10, left + 20, 40]


def write_official(path: Path, names: list[str] | None = None) -> str:
    annotations: list[dict] = []
    for image, objects in TRUTH.items():
        for name, left in objects:
            if names is not None and name not in names:
                continue
            annotations.append(
                dict(
                    id=len(annotations) + 1,
                    image_id=image,
                    category_id=ID_OF[name],
                    bbox=[left, 10, 20, 30],
                    area=600,
                    iscrowd=0,
                    segmentation=[[left, 10, left + 20, 10, left + 20, 40, left, 40]],
                )
            )
    # A crowd is no ground truth: without another bus, the class does not count.
    annotations.append({**annotations[0], "id": 99, "category_id": ID_OF["bus"], "iscrowd": 1})
    annotations[-1]["segmentation"] = dict(counts=[0, 10000], size=[100, 100])
    images = [dict(id=image, file_name=f"{image}.jpg", width=100, height=100) for image in TRUTH]
    categories = [dict(id=ID_OF[name], name=name) for name in names or ID_OF]
    path.write_text(json.dumps(dict(images=images, annotations=annotations, categories=categories)))
    return str(path)


def evaluate(ann_file: str | None, found: dict[int, list[tuple[str, float]]], **options: Any) -> dict[str, float]:
    """Figures of a run that finds these objects, each with its own score, in the images 1 to 3."""
    with DefaultScope.overwrite_default_scope("mmdet"):
        metric = METRICS.build(dict(type="OVCocoAP50Metric", ann_file=ann_file, **options))
    evaluator = Evaluator(metric)
    evaluator.dataset_meta = META
    for image in (1, 2, 3):
        objects = found.get(image, [])
        prediction = dict(
            bboxes=torch.tensor([box_xyxy(left) for _, left in objects], dtype=torch.float32).reshape(-1, 4),
            scores=torch.linspace(0.9, 0.5, len(objects)),
            labels=torch.tensor([META["classes"].index(name) for name, _ in objects], dtype=torch.int64),
        )
        instances = [
            dict(bbox=box_xyxy(left), bbox_label=META["classes"].index(name), ignore_flag=0)
            for name, left in TRUTH[image]
            if name in META["classes"]
        ]
        sample = dict(img_id=image, ori_shape=(100, 100), pred_instances=prediction, instances=instances)
        evaluator.process([sample])
    return evaluator.evaluate(3)


def ap50s(figures: dict[str, float]) -> tuple[float, ...]:
    return tuple(figures[f"coco/{group}_ap50"] for group in ("novel", "base", "all"))


ALL_FOUND: dict[int, list[tuple[str, float]]] = {
    image: [(name, left) for name, left in objects if name != "stop sign"] for image, objects in TRUTH.items()
}
BASE_FOUND: dict[int, list[tuple[str, float]]] = {
    image: [(name, left) for name, left in objects if name in META["base_classes"]] for image, objects in TRUTH.items()
}


@pytest.fixture
def ann_file(tmp_path: Path) -> str:
    return write_official(tmp_path / "val.json")


def test_everything_found_is_one(ann_file: str) -> None:
    figures = evaluate(ann_file, ALL_FOUND)
    assert ap50s(figures) == pytest.approx((1.0, 1.0, 1.0))
    assert set(figures) == set(figure_names(OVCocoAP50Metric, dict(metric="bbox")) or ())
    assert figures["coco/bbox_mAP_50"] == 1.0


def test_base_found_and_novel_missed(ann_file: str) -> None:
    assert ap50s(evaluate(ann_file, BASE_FOUND)) == pytest.approx((0.0, 1.0, 0.5))


def test_figures_are_means_over_classes_and_not_rounded(ann_file: str) -> None:
    found = {1: [("person", 0), ("dog", 30)], 2: [("zebra", 60)]}
    # Of two persons one is found: precision 1 at the recalls 0, .01 ... .5, 51 of 101. Of two novel classes one.
    figures = evaluate(ann_file, found)
    person = 51 / 101
    assert ap50s(figures) == pytest.approx((0.5, (1 + person) / 2, (1 + 1 + person) / 4), abs=1e-12)
    assert figures["coco/bbox_mAP_50"] == round((2 + person) / 4, 3)


def test_groups_count_by_their_number_of_classes(ann_file: str, tmp_path: Path) -> None:
    content = json.loads(Path(ann_file).read_text())
    content["annotations"] = [a for a in content["annotations"] if a["category_id"] != ID_OF["cat"]]
    Path(ann_file).write_text(json.dumps(content))
    assert ap50s(evaluate(ann_file, BASE_FOUND)) == pytest.approx((0.0, 1.0, 2 / 3))


def test_a_novel_object_called_base_costs_both(ann_file: str) -> None:
    found = {1: [("zebra", 30), ("person", 0)], 2: [("person", 0), ("zebra", 60)], 3: [("cat", 10)]}
    # The false zebra has score .9, the true one .5: precision .5 at every recall.
    assert ap50s(evaluate(ann_file, found)) == pytest.approx((0.5, 0.75, 0.625))


def test_no_detection_is_zero(ann_file: str) -> None:
    assert ap50s(evaluate(ann_file, {})) == (0.0, 0.0, 0.0)


def test_a_group_without_ground_truth_is_minus_one(ann_file: str) -> None:
    content = json.loads(Path(ann_file).read_text())
    novel = {ID_OF[name] for name in META["novel_classes"]}
    content["annotations"] = [a for a in content["annotations"] if a["category_id"] not in novel]
    Path(ann_file).write_text(json.dumps(content))
    assert ap50s(evaluate(ann_file, BASE_FOUND)) == pytest.approx((-1.0, 1.0, 1.0))
    assert ap50s(evaluate(ann_file, {})) == (-1.0, 0.0, 0.0)


def test_order_of_categories_in_the_file_does_not_matter(tmp_path: Path) -> None:
    ann_file = write_official(tmp_path / "val.json", sorted(ID_OF, reverse=True))
    assert ap50s(evaluate(ann_file, BASE_FOUND)) == pytest.approx((0.0, 1.0, 0.5))


def test_ground_truth_can_come_from_the_samples() -> None:
    assert ap50s(evaluate(None, BASE_FOUND)) == pytest.approx((0.0, 1.0, 0.5))


def test_classwise_and_own_thresholds(ann_file: str) -> None:
    figures = evaluate(ann_file, BASE_FOUND, classwise=True)
    assert figures["coco/zebra_precision"] == 1.0
    assert ap50s(figures) == ap50s(evaluate(ann_file, BASE_FOUND, iou_thrs=[0.5]))


def test_format_only_writes_results_and_no_figures(ann_file: str, tmp_path: Path) -> None:
    assert evaluate(ann_file, BASE_FOUND, format_only=True, outfile_prefix=str(tmp_path / "out")) == {}
    assert {row["category_id"] for row in json.loads((tmp_path / "out.bbox.json").read_text())} == {1, ID_OF["zebra"]}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(metric=["bbox", "segm"]), "metric must be 'bbox' or 'segm'"),
        (dict(metric="proposal"), "metric must be 'bbox' or 'segm'"),
        (dict(iou_thrs=[0.6, 0.7]), "first of iou_thrs must be 0.5"),
    ],
)
def test_settings_without_an_ap50_are_refused(ann_file: str, options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        evaluate(ann_file, {}, **options)


def test_a_wrong_data_set_or_file_is_refused_before_the_first_image(tmp_path: Path, ann_file: str) -> None:
    with DefaultScope.overwrite_default_scope("mmdet"):
        metric = METRICS.build(dict(type="OVCocoAP50Metric", ann_file=ann_file))
        with pytest.raises(ValueError, match="has no 'base_classes'"):
            metric.dataset_meta = CocoDataset.METAINFO
        seen = write_official(tmp_path / "seen.json", [name for name in ID_OF if name != "dog"])
        metric = METRICS.build(dict(type="OVCocoAP50Metric", ann_file=seen))
        with pytest.raises(ValueError, match=r"seen\.json: 1 of 65 classes .*'dog'"):
            metric.dataset_meta = META


def test_base_classes_may_come_first_and_have_larger_ids(tmp_path: Path) -> None:
    """A base class (boat, id 2) that is never found and a novel one (cup, id 1) that is found exactly."""
    image = dict(id=1, file_name="1.png", width=64, height=64)
    annotations = [
        dict(id=n, image_id=1, category_id=n, bbox=[left, left, 20, 20], area=400, iscrowd=0)
        for n, left in ((1, 5), (2, 40))
    ]
    categories = [dict(id=1, name="cup"), dict(id=2, name="boat")]
    path = tmp_path / "ann.json"
    path.write_text(json.dumps(dict(images=[image], annotations=annotations, categories=categories)))
    with DefaultScope.overwrite_default_scope("mmdet"):
        metric = METRICS.build(dict(type="OVCocoAP50Metric", ann_file=str(path)))
    metric.dataset_meta = dict(classes=("boat", "cup"), base_classes=("boat",), novel_classes=("cup",))
    found = dict(bboxes=torch.tensor([[5.0, 5, 25, 25]]), scores=torch.tensor([0.9]), labels=torch.tensor([1]))
    metric.process({}, [dict(img_id=1, ori_shape=(64, 64), pred_instances=found)])
    assert ap50s(metric.evaluate(1)) == pytest.approx((1.0, 0.0, 0.5))
