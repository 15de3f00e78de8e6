import io

import cv2
import numpy as np
import pytest
from PIL import Image

from densevlm_mm.datasets.transforms import LoadImage, UnreadableImageError

RNG = np.random.default_rng(0)
RGB = cv2.resize(RNG.integers(0, 255, (6, 8, 3), dtype=np.uint8), (160, 120), interpolation=cv2.INTER_CUBIC)


def save(path, image, file_format, **kwargs):
    image.save(path, file_format, **kwargs)
    return str(path)


def load(path, **kwargs):
    results = LoadImage(**kwargs)(dict(img_path=path))
    assert results["img_shape"] == results["ori_shape"] == results["img"].shape[:2]
    assert results["img"].dtype == np.uint8
    return results["img"]


@pytest.mark.parametrize(
    ("mode", "file_format"),
    [
        ("RGB", "PNG"),
        ("RGB", "JPEG"),
        ("CMYK", "JPEG"),
        ("L", "JPEG"),
        ("L", "PNG"),
        ("LA", "PNG"),
        ("RGBA", "PNG"),
        ("P", "PNG"),
    ],
)
def test_every_kind_of_image_becomes_bgr(tmp_path, mode, file_format):
    image = Image.fromarray(RGB).convert(mode)
    loaded = load(save(tmp_path / "image", image, file_format))
    expected = np.asarray(image.convert("RGB"))[..., ::-1]
    assert np.abs(loaded.astype(int) - expected).mean() < 4


def test_sixteen_bit_grey_becomes_eight_bit(tmp_path):
    cv2.imwrite(str(tmp_path / "deep.png"), RGB[..., 0].astype(np.uint16) * 257)
    np.testing.assert_array_equal(load(str(tmp_path / "deep.png")), np.repeat(RGB[..., :1], 3, axis=2))


def rotated_file(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # shown turned by 90 degrees clockwise
    return save(tmp_path / "turned.png", Image.fromarray(RGB), "PNG", exif=exif)


def test_exif_orientation_is_followed_unless_told_otherwise(tmp_path):
    path = rotated_file(tmp_path)
    np.testing.assert_array_equal(load(path), np.rot90(RGB[..., ::-1], -1))
    np.testing.assert_array_equal(load(path, color_type="color_ignore_orientation"), RGB[..., ::-1])


def test_annotated_size_decides_about_the_orientation(tmp_path):
    path = rotated_file(tmp_path)
    assert LoadImage()(dict(img_path=path, height=160, width=120))["img"].shape == (160, 120, 3)
    assert LoadImage()(dict(img_path=path, height=120, width=160))["img"].shape == (120, 160, 3)
    with pytest.raises(ValueError, match=r"120 x 160 \(width x height\) but is annotated as 99 x 50"):
        LoadImage()(dict(img_path=path, height=50, width=99))


@pytest.mark.parametrize("shape", [(1, 1), (1, 3000), (3000, 1)])
def test_extreme_shapes_load(tmp_path, shape):
    cv2.imwrite(str(tmp_path / "a.png"), np.full((*shape, 3), 9, np.uint8))
    assert load(str(tmp_path / "a.png")).shape == (*shape, 3)


@pytest.mark.parametrize("backend", ["cv2", "pillow"])
@pytest.mark.parametrize(
    "content", [b"hello", b"<html></html>", b"version https://git-lfs.github.com/spec/v1\n", b"\xff\xd8\xff"]
)
def test_what_is_no_image_is_named(tmp_path, content, backend):
    path = tmp_path / "image.jpg"
    path.write_bytes(content)
    with pytest.raises(UnreadableImageError, match=r"image\.jpg .* is not a complete image"):
        load(str(path), imdecode_backend=backend)


def test_empty_file_is_named(tmp_path):
    (tmp_path / "image.jpg").touch()
    with pytest.raises(UnreadableImageError, match=r"image\.jpg is empty"):
        load(str(tmp_path / "image.jpg"))


@pytest.mark.parametrize("backend", ["cv2", "pillow"])
@pytest.mark.parametrize("file_format", ["JPEG", "PNG"])
@pytest.mark.parametrize("keep", [0.1, 0.5, 0.97])
def test_truncated_image_is_named(tmp_path, file_format, keep, backend):
    buffer = io.BytesIO()
    Image.fromarray(RGB).save(buffer, file_format)
    content = buffer.getvalue()
    (tmp_path / "image").write_bytes(content[: int(len(content) * keep)])
    with pytest.raises(UnreadableImageError, match="is not a complete image"):
        load(str(tmp_path / "image"), imdecode_backend=backend)


def test_truncation_is_noticed_even_if_the_decoder_fills_with_grey(tmp_path, monkeypatch):
    buffer = io.BytesIO()
    Image.fromarray(RGB).save(buffer, "JPEG")
    (tmp_path / "image.jpg").write_bytes(buffer.getvalue()[:-200])
    monkeypatch.setattr("mmcv.imfrombytes", lambda *args, **kwargs: RGB)  # what OpenCV 4 does
    with pytest.raises(UnreadableImageError):
        load(str(tmp_path / "image.jpg"))


def test_bytes_after_the_end_are_harmless(tmp_path):
    buffer = io.BytesIO()
    Image.fromarray(RGB).save(buffer, "JPEG")
    (tmp_path / "image.jpg").write_bytes(buffer.getvalue() + b"\x00" * 50)
    assert load(str(tmp_path / "image.jpg")).shape == RGB.shape


def test_missing_file_is_named(tmp_path):
    for path in (tmp_path / "none.jpg", tmp_path):
        with pytest.raises(FileNotFoundError, match=f"no file {path}"):
            load(str(path))


def test_grey_loading_is_refused():
    with pytest.raises(ValueError, match="not 'grayscale'"):
        LoadImage(color_type="grayscale")
