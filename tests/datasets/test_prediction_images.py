import json
from pathlib import Path

import numpy as np
import pytest
from mmengine.dataset import pseudo_collate
from PIL import Image

from densevlm_mm.datasets import PredictionImageDataset
from densevlm_mm.datasets.prediction_images import UnreadableImage


def thin_images_fail(results: dict) -> dict:
    if min(results["img"].shape[:2]) < 2:
        raise ZeroDivisionError("a side of 0\n  pixels")
    return results


@pytest.fixture
def dataset(tmp_path: Path) -> PredictionImageDataset:
    Image.new("RGB", (4, 3)).save(tmp_path / "good.png")
    Image.new("RGB", (1, 3)).save(tmp_path / "thin.png")
    (tmp_path / "text.jpg").write_text("no image")
    (tmp_path / "link.jpg").symlink_to("nowhere")
    names = ["good.png", "thin.png", "text.jpg", "link.jpg", "gone.jpg"]
    listing = tmp_path / "images.json"
    listing.write_text(json.dumps([dict(img_path=str(tmp_path / name), rel_path=f"day/{name}") for name in names]))
    return PredictionImageDataset(str(listing), [dict(type="densevlm_mm.LoadImage"), thin_images_fail])


def test_a_readable_image_goes_through_the_pipeline(dataset: PredictionImageDataset) -> None:
    assert len(dataset) == 5
    assert dataset.get_data_info(0)["rel_path"] == "day/good.png"
    np.testing.assert_array_equal(dataset[0]["img"], np.zeros((3, 4, 3)))


@pytest.mark.parametrize(
    ("index", "reason"),
    [
        (1, "ZeroDivisionError: a side of 0 pixels"),
        (2, "is not a complete image"),
        (3, "no such file, only a link to it"),
        (4, "there is no such file"),
    ],
)
def test_an_image_that_fails_is_told_apart(dataset: PredictionImageDataset, index: int, reason: str) -> None:
    failed = dataset[index]
    assert isinstance(failed, UnreadableImage)
    assert failed.img_path == dataset.get_data_info(index)["img_path"]
    assert reason in failed.reason
    assert "\n" not in failed.reason
    assert pseudo_collate([failed]) == UnreadableImage((failed.img_path,), (failed.reason,))
