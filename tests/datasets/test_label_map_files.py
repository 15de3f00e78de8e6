import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from densevlm_mm.datasets.label_map_files import check_labels, check_shape, decode_label_map


def encode(image: Image.Image, file_format: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, file_format, **options)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("dtype", "file_format"),
    [*((dtype, name) for dtype in (np.uint8, np.uint16, bool) for name in ("PNG", "TIFF")), (np.int32, "TIFF")],
)
def test_whole_numbers_are_read_as_they_are(dtype: type, file_format: str) -> None:
    top = 1 if dtype is bool else min(np.iinfo(dtype).max, 65535)
    labels = np.array([[0, 1, top], [top, 0, 1]], dtype=dtype)
    decoded = decode_label_map(encode(Image.fromarray(labels), file_format), "x")
    assert decoded.dtype == np.int32
    assert decoded.tolist() == labels.astype(int).tolist()


def test_of_a_palette_image_the_indices_are_the_labels() -> None:
    image = Image.fromarray(np.array([[0, 1, 2]], np.uint8)).convert("P")
    image.putpalette([200, 0, 0, 0, 200, 0, 0, 0, 200])
    assert decode_label_map(encode(image), "x").tolist() == [[0, 1, 2]]


def test_an_orientation_is_not_followed() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    labels = np.arange(6, dtype=np.uint8).reshape(2, 3)
    assert decode_label_map(encode(Image.fromarray(labels), exif=exif), "x").tolist() == labels.tolist()


@pytest.mark.parametrize(
    ("image", "file_format", "message"),
    [
        (Image.new("RGB", (3, 2), (4, 4, 4)), "PNG", r"3 channels \(mode RGB\), not one of labels\. They are equal"),
        (Image.new("RGB", (3, 2), (4, 5, 4)), "PNG", r"3 channels \(mode RGB\).*If its colours stand for classes"),
        (Image.new("RGBA", (3, 2), (4, 4, 4, 255)), "PNG", "4 channels.*They are equal"),
        (Image.new("LA", (3, 2), (4, 255)), "PNG", r"2 channels \(mode LA\).*They are equal"),
        (Image.new("F", (3, 2), 4.0), "TIFF", "floating-point numbers"),
        (Image.new("L", (3, 2), 4), "JPEG", "is a JPEG, which changes values"),
    ],
)
def test_what_is_no_label_map_is_named_with_the_fix(image: Image.Image, file_format: str, message: str) -> None:
    with pytest.raises(ValueError, match=rf"label map x\.img.*{message}"):
        decode_label_map(encode(image, file_format), "x.img")


@pytest.mark.parametrize("content", [b"", b"hello", encode(Image.effect_noise((90, 90), 50))[:900]])
def test_unreadable_files_are_named(content: bytes) -> None:
    with pytest.raises(ValueError, match=r"x\.png"):
        decode_label_map(content, "x.png")


def test_labels_that_mean_nothing_are_counted() -> None:
    labels = np.array([[0, 1, 255], [7, 7, -1]])
    with pytest.raises(
        ValueError, match=r"x has labels .*\(0 to 1\) nor the ignored label 255: -1 \(1 pixels\), 7 \(2 pix"
    ):
        check_labels(labels, 2, 255, "x")
    check_labels(labels[:1], 2, 255, "x")


def test_another_size_than_the_image_is_named() -> None:
    check_shape(np.zeros((4, 6)), (4, 6), "x.png", "x.jpg")
    with pytest.raises(ValueError, match=r"x\.png is 6 x 4 \(width x height\), but its image x\.jpg 4 x 6"):
        check_shape(np.zeros((4, 6)), (6, 4), "x.png", "x.jpg")
