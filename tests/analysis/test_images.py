import cv2
import numpy as np
import pytest

from densevlm_mm.analysis.images import load_canvas_image


def test_a_wide_image_fills_the_top_of_the_canvas(make_model, tmp_path) -> None:
    picture = np.zeros((50, 100, 3), np.uint8)
    picture[..., 2] = 200  # red, in OpenCV's BGR
    cv2.imwrite(str(tmp_path / "red.png"), picture)
    image = load_canvas_image(str(tmp_path / "red.png"), make_model().cfg)
    assert image.side == 64
    assert image.area == (32, 64)
    assert image.rgb.shape == (32, 64, 3)
    assert (image.rgb == (200, 0, 0)).all()
    assert image.inputs[2, :32].min() == 200
    assert image.inputs[:, 32:].max() == 0


def test_unreadable_images_are_named(make_model, tmp_path) -> None:
    cfg = make_model().cfg
    with pytest.raises(FileNotFoundError, match=r"no image .*none\.png"):
        load_canvas_image(str(tmp_path / "none.png"), cfg)
    (tmp_path / "bad.png").write_text("not an image")
    with pytest.raises(ValueError, match=r"bad\.png .* not a complete image"):
        load_canvas_image(str(tmp_path / "bad.png"), cfg)
