import importlib.util
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData, PixelData
from mmseg.structures import SegDataSample
from pycocotools import mask as coco_masks
from pycocotools.coco import COCO

from densevlm_mm.inference import Prediction

IMAGE = np.full((40, 60, 3), 90, np.uint8)


@pytest.fixture
def detected() -> Prediction:
    instances = InstanceData(
        bboxes=torch.tensor([[1.0, 2.0, 11.0, 22.0], [5.0, 5.0, 50.0, 30.0], [0.0, 0.0, 4.0, 4.0]]),
        scores=torch.tensor([0.5, 0.9, 0.2]),
        labels=torch.tensor([2, 0, 0]),
        label_names=["fishing boat", "tram", "tram"],
        is_novel=torch.tensor([True, False, False]),
    )
    sample = DetDataSample(pred_instances=instances, metainfo=dict(img_path="a.jpg"))
    return Prediction.from_sample(sample, IMAGE, dict(classes=("tram", "van", "x")), 0.3)


@pytest.fixture
def segmented() -> Prediction:
    labels = torch.zeros(1, 40, 60, dtype=torch.long)
    labels[:, 10:20, 30:60] = 2
    logits = torch.zeros(3, 40, 60)
    logits[0], logits[2] = 0.5, 0.75
    sample = SegDataSample(metainfo=dict(img_path="b.jpg", vocabulary_classes=("sky", "sea", "sand")))
    sample.set_data(dict(pred_sem_seg=PixelData(data=labels), seg_logits=PixelData(data=logits)))
    return Prediction.from_sample(sample, IMAGE, {}, 0.3)


def test_detections_above_the_threshold_keep_names_and_flags(detected: Prediction) -> None:
    assert detected.names == ["fishing boat", "tram"]
    assert detected.classes == ("tram", "van", "fishing boat")
    np.testing.assert_allclose(detected.boxes, [[1, 2, 11, 22], [5, 5, 50, 30]])
    assert detected.is_novel.tolist() == [True, False]
    assert detected.masks is None
    assert detected.above(0.6).names == ["tram"]
    assert repr(detected) == "Prediction(a.jpg: tram 0.90, fishing boat 0.50)"


def test_segments_are_masks_by_size(segmented: Prediction) -> None:
    assert segmented.names == ["sky", "sand"]
    np.testing.assert_allclose(segmented.shares, [0.875, 0.125])
    np.testing.assert_allclose(segmented.scores, [0.5, 0.75])
    assert segmented.boxes.tolist() == [[0, 0, 60, 40], [30, 10, 60, 20]]
    np.testing.assert_array_equal(segmented.masks[1], segmented.label_map == 2)
    assert repr(segmented) == "Prediction(b.jpg: sky 88%, sand 12%)"


def test_pycocotools_reads_what_to_coco_writes(detected: Prediction, segmented: Prediction) -> None:
    for prediction in (detected, segmented):
        coco = COCO()
        coco.dataset = prediction.to_coco(image_id=7)
        coco.createIndex()
        entries = coco.loadAnns(coco.getAnnIds(imgIds=[7]))
        names = [coco.loadCats(entry["category_id"])[0]["name"] for entry in entries]
        assert names == prediction.names
        corners = [[x, y, x + w, y + h] for x, y, w, h in (entry["bbox"] for entry in entries)]
        np.testing.assert_allclose(corners, prediction.boxes)
        np.testing.assert_allclose([entry["score"] for entry in entries], prediction.scores, atol=1e-6)
    decoded = coco_masks.decode(entries[1]["segmentation"]).astype(bool)
    np.testing.assert_array_equal(decoded, segmented.masks[1])


@pytest.mark.skipif(importlib.util.find_spec("supervision") is None, reason="optional package supervision")
def test_supervision_gets_boxes_masks_and_names(segmented: Prediction) -> None:
    detections = segmented.to_supervision()
    assert detections["class_name"].tolist() == segmented.names
    np.testing.assert_array_equal(detections.mask, segmented.masks)
    np.testing.assert_allclose(detections.area, [2100, 300])


def test_without_supervision_the_error_says_what_to_install(
    segmented: Prediction, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "supervision", None)
    with pytest.raises(ImportError, match="pip install supervision"):
        segmented.to_supervision()


def test_pictures_are_written_and_overlays_have_the_shape_of_the_image(
    detected: Prediction, segmented: Prediction, tmp_path: Path
) -> None:
    for prediction in (detected, segmented):
        prediction.save(tmp_path / "new" / "a.png")
        np.testing.assert_array_equal(cv2.imread(str(tmp_path / "new/a.png"))[..., ::-1], prediction.picture())
        height, width = prediction.overlay().shape[:2]
        assert height / width == pytest.approx(40 / 60, abs=0.01)
        assert prediction._repr_png_().startswith(b"\x89PNG")
    with pytest.raises(ValueError, match=r"\.png or \.jpg, not 'a\.gif'"):
        detected.save("a.gif")
