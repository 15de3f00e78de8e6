import json
import sys
from pathlib import Path

import numpy as np
import pytest

from densevlm_mm.compat import patch_lvis
from densevlm_mm.compat.lvis_numpy import patch_lvis_when_imported


def write_annotations(path: Path) -> Path:
    boxes = [(1, 1, [4, 4, 20, 10]), (1, 2, [30, 30, 12, 16]), (2, 1, [8, 2, 20, 24])]
    annotations = [
        dict(id=i + 1, image_id=image, category_id=category, bbox=box, area=box[2] * box[3], segmentation=[])
        for i, (image, category, box) in enumerate(boxes)
    ]
    images: list[dict] = [
        dict(id=i, width=64, height=64, coco_url=f"train/{i}.jpg", neg_category_ids=[], not_exhaustive_category_ids=[])
        for i in (1, 2)
    ]
    categories = [dict(id=1, name="cat", frequency="f"), dict(id=2, name="kite", frequency="r")]
    path.write_text(json.dumps(dict(images=images, annotations=annotations, categories=categories)))
    return path


def test_evaluation_runs_and_gives_the_known_average_precision(tmp_path: Path) -> None:
    patch_lvis()
    from lvis import LVIS, LVISEval, LVISResults

    ground_truth = LVIS(str(write_annotations(tmp_path / "lvis.json")))
    detections = [
        dict(image_id=1, category_id=1, bbox=[4, 4, 20, 10], score=0.9),
        dict(image_id=1, category_id=2, bbox=[50, 50, 5, 5], score=0.8),  # misses the only kite
        dict(image_id=2, category_id=1, bbox=[8, 2, 20, 24], score=0.7),
    ]
    evaluation = LVISEval(ground_truth, LVISResults(ground_truth, detections), "bbox")
    evaluation.run()
    assert evaluation.results["APf"] == pytest.approx(1.0)
    assert evaluation.results["APr"] == pytest.approx(0.0)
    assert evaluation.results["AP"] == pytest.approx(0.5)


def test_numpy_itself_stays_as_it_is() -> None:
    patch_lvis()
    assert not hasattr(np, "float")
    assert sys.modules["lvis.eval"].np.float is float
    assert sys.modules["lvis.eval"].np.cumsum is np.cumsum


def test_module_that_was_imported_unpatched_is_mended(monkeypatch: pytest.MonkeyPatch) -> None:
    patch_lvis()
    module = sys.modules["lvis.eval"]
    monkeypatch.setattr(module, "np", np)
    patch_lvis_when_imported()
    assert module.np.float is float


def test_import_hook_is_there_once_and_mends_a_fresh_import(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "lvis.eval", raising=False)
    before = len(sys.meta_path)
    patch_lvis_when_imported()
    patch_lvis_when_imported()
    assert len(sys.meta_path) <= before + 1
    import lvis.eval

    assert sys.modules["lvis.eval"].np.float is float
    assert lvis.eval.__spec__ is not None
