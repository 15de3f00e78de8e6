from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from mmengine.registry import TRANSFORMS as ROOT
from mmengine.registry import DefaultScope
from PIL import Image

from densevlm_mm.datasets.transforms import LoadImage, UnreadableImageError

RGB = cv2.resize(
    np.random.default_rng(0).integers(0, 255, (6, 8, 3), dtype=np.uint8), (160, 120), interpolation=cv2.INTER_CUBIC
)


def save(path: Path, pixels: np.ndarray = RGB, orientation: int | None = None) -> str:
    exif = Image.Exif()
    if orientation is not None:
        exif[0x0112] = orientation
    Image.fromarray(pixels).save(path, exif=exif)
    return str(path)


def load(path: str, loader: LoadImage | None = None, **annotation: Any) -> np.ndarray:
    results = (loader or LoadImage())(dict(img_path=path, **annotation))
    assert results["img_shape"] == results["ori_shape"] == results["img"].shape[:2]
    assert results["img"].dtype == np.uint8
    return results["img"]


def test_an_image_without_annotation_is_loaded_as_shown(tmp_path: Path) -> None:
    path = save(tmp_path / "turned.png", orientation=6)
    np.testing.assert_array_equal(load(path), np.rot90(RGB[..., ::-1], -1))


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".tiff"])
@pytest.mark.parametrize("orientation", [5, 6, 7, 8])
def test_the_annotated_size_says_which_frame_was_annotated(tmp_path: Path, orientation: int, suffix: str) -> None:
    path = save(tmp_path / f"turned{suffix}", orientation=orientation)
    stored = load(path, height=120, width=160)
    assert np.abs(stored.astype(int) - RGB[..., ::-1]).mean() < 4
    shown = load(path, height=160, width=120)
    np.testing.assert_array_equal(shown, load(path))
    with pytest.raises(ValueError, match=r"turned\S+ is 160 x 120 \(width x height\) but is annotated as 99 x 50"):
        load(path, height=50, width=99)


@pytest.mark.parametrize("orientation", [6, 8])
def test_the_size_of_the_label_map_says_it_too(tmp_path: Path, orientation: int) -> None:
    path = save(tmp_path / "turned.png", orientation=orientation)
    labels = np.zeros((120, 160), np.uint8)
    for shape in ((120, 160), (160, 120)):
        label_path = save(tmp_path / "labels.png", labels.reshape(shape))
        assert load(path, seg_map_path=label_path).shape[:2] == shape


@pytest.mark.parametrize(
    ("pixels", "orientation"), [(RGB, 2), (RGB, 3), (RGB, 4), (RGB[:, :120], 6), (RGB[:, :120], 3)]
)
def test_doubt_about_the_frame_is_an_error_that_can_be_settled(
    tmp_path: Path, pixels: np.ndarray, orientation: int
) -> None:
    path = save(tmp_path / "doubt.png", pixels, orientation)
    size = dict(height=pixels.shape[0], width=pixels.shape[1])
    with pytest.raises(ValueError, match=rf"doubt\.png has EXIF orientation {orientation} .*orientation='stored'"):
        load(path, **size)
    np.testing.assert_array_equal(load(path, LoadImage(orientation="stored"), **size), pixels[..., ::-1])
    np.testing.assert_array_equal(load(path, LoadImage(orientation="shown"), **size), load(path))


def test_a_square_image_without_a_tag_is_in_no_doubt(tmp_path: Path) -> None:
    path = save(tmp_path / "square.png", RGB[:, :120], 1)
    assert load(path, height=120, width=120).shape == (120, 120, 3)


def test_a_frame_that_was_chosen_must_have_the_annotated_size(tmp_path: Path) -> None:
    path = save(tmp_path / "turned.png", orientation=6)
    with pytest.raises(ValueError, match=r"is 120 x 160 \(width x height\) but is annotated as 160 x 120"):
        load(path, LoadImage(orientation="shown"), height=120, width=160)


def test_unreadable_and_too_large_images_are_named(tmp_path: Path) -> None:
    (tmp_path / "image.jpg").write_bytes(b"hello")
    with pytest.raises(UnreadableImageError, match=r"image\.jpg .* is not a complete image"):
        load(str(tmp_path / "image.jpg"))
    with pytest.raises(UnreadableImageError, match=r"large\.png is too large"):
        load(save(tmp_path / "large.png"), LoadImage(max_pixels=1000))


def test_missing_file_is_named(tmp_path: Path) -> None:
    for path in (tmp_path / "none.jpg", tmp_path):
        with pytest.raises(FileNotFoundError, match=f"no file {path}"):
            load(str(path))


def test_wrong_options_are_refused() -> None:
    with pytest.raises(ValueError, match="not 'exif'"):
        LoadImage(orientation="exif")
    with pytest.raises(ValueError, match="max_pixels must be at least 1"):
        LoadImage(max_pixels=0)


@pytest.mark.parametrize("scope", ["densevlm_mm", "mmdet", "mmseg"])
def test_configs_of_every_scope_reach_it(scope: str) -> None:
    with DefaultScope.overwrite_default_scope(scope):
        assert isinstance(ROOT.build(dict(type="densevlm_mm.LoadImage")), LoadImage)
