from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

import densevlm_mm  # noqa: F401
from densevlm_mm.datasets.transforms.seg_labels import LoadSegLabels


def load(path: Path, labels: Any, dtype: type, **info: Any) -> np.ndarray:
    Image.fromarray(np.array(labels, dtype=dtype)).save(path / "x.png")
    results = dict(seg_map_path=str(path / "x.png"), seg_fields=[], reduce_zero_label=False, label_map=None) | info
    loaded = LoadSegLabels().transform(results)
    assert loaded["seg_fields"] == ["gt_seg_map"]
    return loaded["gt_seg_map"]


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_labels_are_those_of_the_file(tmp_path: Path, dtype: type) -> None:
    largest = np.iinfo(dtype).max
    loaded = load(tmp_path, [[0, 7], [largest, 1]], dtype)
    assert loaded.tolist() == [[0, 7], [largest, 1]]
    assert cv2.resize(loaded, (4, 4), interpolation=cv2.INTER_NEAREST)[0].tolist() == [0, 0, 7, 7]


def test_reduce_zero_label(tmp_path: Path) -> None:
    loaded = load(tmp_path, [[0, 1, 847, 65535]], np.uint16, reduce_zero_label=True, ignore_index=65535)
    assert loaded.tolist() == [[65535, 0, 846, 65535]]


def test_label_map_applies_once_to_each_label(tmp_path: Path) -> None:
    loaded = load(tmp_path, [[0, 1, 2, 255]], np.uint8, label_map={0: 1, 1: 0, 2: 255})
    assert loaded.tolist() == [[1, 0, 255, 255]]
    with pytest.raises(ValueError, match=r"neither a class \(0 to 2\) nor the ignored label 255: 3 \(1 pixels\)"):
        load(tmp_path, [[0, 3]], np.uint8, label_map={0: 1, 1: 0, 2: 255})
    with pytest.raises(ValueError, match=r"300 \(1 pixels\)"):
        load(tmp_path, [[0, 300]], np.uint16, label_map={0: 1})


def test_picture_is_no_label_map(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"3 channels \(mode RGB\)"):
        load(tmp_path, np.zeros((2, 2, 3)), np.uint8)
