"""Ground truth of the metrics: what is missing is filled in, and a number that means none is no number."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.registry import METRICS, DefaultScope

import densevlm_mm.detection  # noqa: F401
from densevlm_mm.evaluation.ground_truth import load_coco

CLASSES = ("car", "ball")
META = dict(classes=CLASSES, base_classes=CLASSES[:1], novel_classes=CLASSES[1:])


def content(first: int = 1) -> dict:
    image = dict(height=48, width=64, neg_category_ids=[], not_exhaustive_category_ids=[])
    return dict(
        images=[dict(id=n, file_name=f"{n}.png", **image) for n in (1, 2)],
        annotations=[
            dict(id=first + n, image_id=n % 2 + 1, category_id=n // 2 + 1, bbox=[8 + n, 9, 20, 20], area=400, iscrowd=0)
            for n in range(4)
        ],
        categories=[dict(id=1, name="car", frequency="f"), dict(id=2, name="ball", frequency="r")],
    )


def write(path: Path, data: dict) -> str:
    path.write_text(json.dumps(data))
    return str(path)


def evaluate(kind: str, ann_file: str, data: dict) -> dict[str, float]:
    """Figures of predictions that are the ground truth."""
    with DefaultScope.overwrite_default_scope("mmdet"):
        metric = METRICS.build(dict(type=kind, ann_file=ann_file))
    metric.dataset_meta = META
    for image in data["images"]:
        own = [annotation for annotation in data["annotations"] if annotation["image_id"] == image["id"]]
        boxes = torch.tensor([annotation["bbox"] for annotation in own], dtype=torch.float32)
        boxes[:, 2:] += boxes[:, :2]
        predicted = dict(
            bboxes=boxes,
            scores=torch.linspace(0.9, 0.5, len(own)),
            labels=torch.tensor([annotation["category_id"] - 1 for annotation in own]),
        )
        metric.process({}, [dict(img_id=image["id"], ori_shape=(48, 64), pred_instances=predicted)])
    return metric.evaluate(2)


@pytest.mark.parametrize(("kind", "key"), [("OVCocoAP50Metric", "coco/all_ap50"), ("OVLVISMetric", "lvis/bbox_AP50")])
@pytest.mark.parametrize("first", [1, 0, -1])
def test_a_match_with_annotation_number_0_counts(tmp_path: Path, kind: str, key: str, first: int) -> None:
    """pycocotools and lvis take the number 0 of a match for no match."""
    data = content(first)
    assert evaluate(kind, write(tmp_path / "a.json", data), data)[key] == 1.0


@pytest.mark.parametrize("kind", ["OVCocoAP50Metric", "OVLVISMetric"])
def test_what_is_missing_is_filled_in(tmp_path: Path, kind: str) -> None:
    data = content()
    for annotation in data["annotations"]:
        del annotation["area"], annotation["iscrowd"]
    figures = evaluate(kind, write(tmp_path / "a.json", data), data)
    expected = evaluate(kind, write(tmp_path / "b.json", content()), content())
    assert figures == expected


def test_the_index_is_that_of_pycocotools(tmp_path: Path) -> None:
    from mmdet.datasets.api_wrappers import COCO

    path = write(tmp_path / "a.json", content())
    ours, theirs = load_coco(path), COCO(path)
    for part in ("dataset", "anns", "imgs", "cats", "imgToAnns", "catToImgs", "img_ann_map", "cat_img_map"):
        assert getattr(ours, part) == getattr(theirs, part)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda data: data["images"][1].pop("neg_category_ids"), r"image 2 \(2\.png\): 'neg_category_ids' is missing"),
        (lambda data: data["images"][0].pop("not_exhaustive_category_ids"), "image 1 .*'not_exhaustive_category_ids'"),
        (lambda data: data["annotations"][1].pop("bbox"), "annotation 2 of image 2 .*'bbox' is missing"),
    ],
)
def test_what_the_evaluation_of_lvis_needs_is_looked_for_first(tmp_path: Path, change: Any, message: str) -> None:
    data = content()
    change(data)
    with (
        DefaultScope.overwrite_default_scope("mmdet"),
        pytest.raises(ValueError, match=message),
    ):
        METRICS.build(dict(type="OVLVISMetric", ann_file=write(tmp_path / "a.json", data)))
