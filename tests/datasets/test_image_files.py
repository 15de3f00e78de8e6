"""Decoding against Pillow, OpenCV and arrays that were written."""

import io
import struct
import zlib
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image, ImageOps

from densevlm_mm.datasets.image_files import UnreadableImageError, decode_image, read_header, turn

RNG = np.random.default_rng(0)
RGB = cv2.resize(RNG.integers(0, 255, (6, 8, 3), dtype=np.uint8), (160, 120), interpolation=cv2.INTER_CUBIC)
NOISY = np.clip(RGB.astype(int) + RNG.integers(-20, 20, RGB.shape), 0, 255).astype(np.uint8)
FORMATS = [
    ("JPEG", dict(quality=95)),
    ("JPEG", dict(quality=95, progressive=True)),
    ("PNG", {}),
    ("WEBP", dict(lossless=True)),
    ("TIFF", {}),
    ("TIFF", dict(compression="tiff_lzw")),
]


def encode(image: Image.Image, file_format: str, orientation: int | None = None, **options: Any) -> bytes:
    if orientation is not None:
        options["exif"] = Image.Exif()
        options["exif"][0x0112] = orientation
    buffer = io.BytesIO()
    image.save(buffer, file_format, **options)
    return buffer.getvalue()


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
        ("1", "PNG"),
        ("RGBA", "WEBP"),
        ("RGB", "BMP"),
        ("RGBA", "TIFF"),
        ("LA", "TIFF"),
        ("P", "TIFF"),
        ("CMYK", "TIFF"),
    ],
)
def test_every_kind_of_image_becomes_bgr(mode: str, file_format: str) -> None:
    image = Image.fromarray(RGB).convert(mode)
    expected = np.asarray(image.convert("RGB"))[..., ::-1]
    assert np.abs(decode_image(encode(image, file_format), "x").astype(int) - expected).mean() < 4


@pytest.mark.parametrize("compression", [None, "tiff_lzw", "tiff_deflate"])
def test_colours_of_a_tiff_are_not_multiplied_by_its_alpha(compression: str | None) -> None:
    alpha = np.tile(np.linspace(0, 255, 160).astype(np.uint8), (120, 1))
    content = encode(Image.fromarray(np.dstack([RGB, alpha])), "TIFF", compression=compression)
    np.testing.assert_array_equal(decode_image(content, "x"), RGB[..., ::-1])


@pytest.mark.parametrize("suffix", [".png", ".tiff"])
def test_sixteen_bits_become_eight(suffix: str) -> None:
    for pixels in (RGB, RGB[..., 0]):
        content = cv2.imencode(suffix, pixels.astype(np.uint16) * 257)[1].tobytes()
        expected = pixels if pixels.ndim == 3 else np.repeat(pixels[..., None], 3, axis=2)
        np.testing.assert_array_equal(decode_image(content, "x"), expected)


@pytest.mark.parametrize(
    "options", [dict(subsampling=0), dict(subsampling=2), dict(progressive=True), dict(optimize=True)]
)
def test_jpeg_pixels_are_those_of_opencv(options: dict) -> None:
    content = encode(Image.fromarray(NOISY), "JPEG", quality=85, **options)
    np.testing.assert_array_equal(decode_image(content, "x"), cv2.imdecode(np.frombuffer(content, np.uint8), 1))


@pytest.mark.parametrize(("file_format", "options"), FORMATS)
@pytest.mark.parametrize("orientation", range(1, 9))
def test_all_orientations_as_shown_and_as_stored(file_format: str, options: dict, orientation: int) -> None:
    content = encode(Image.fromarray(RGB), file_format, orientation, **options)
    header = read_header(content, "x")
    assert (header.height, header.width, header.orientation) == (120, 160, orientation)
    png = Image.open(io.BytesIO(encode(Image.fromarray(RGB), "PNG", orientation)))
    expected = np.asarray(ImageOps.exif_transpose(png))[..., ::-1]
    shown, stored = decode_image(content, "x", "shown"), decode_image(content, "x", "stored")
    assert shown.shape[:2] == header.shape("shown")
    assert np.abs(shown.astype(int) - expected).mean() < 3
    assert stored.shape[:2] == header.shape("stored")
    assert np.abs(stored.astype(int) - RGB[..., ::-1]).mean() < 3


@pytest.mark.parametrize("value", [0, 9, 77])
def test_an_orientation_that_means_nothing_is_none(value: int) -> None:
    assert read_header(encode(Image.fromarray(RGB), "JPEG", value), "x").orientation == 1


def test_garbled_exif_is_no_orientation() -> None:
    content = bytearray(encode(Image.fromarray(RGB), "JPEG", 6))
    start = content.index(b"Exif\x00\x00") + 6
    content[start : start + 8] = b"\xff" * 8
    assert read_header(bytes(content), "x").orientation == 1
    assert decode_image(bytes(content), "x").shape == (120, 160, 3)


def test_turning_does_what_the_eight_orientations_mean() -> None:
    pixels = np.arange(6).reshape(2, 3)
    expected = {
        1: [[0, 1, 2], [3, 4, 5]],
        2: [[2, 1, 0], [5, 4, 3]],
        3: [[5, 4, 3], [2, 1, 0]],
        4: [[3, 4, 5], [0, 1, 2]],
        5: [[0, 3], [1, 4], [2, 5]],
        6: [[3, 0], [4, 1], [5, 2]],
        7: [[5, 2], [4, 1], [3, 0]],
        8: [[2, 5], [1, 4], [0, 3]],
    }
    assert {orientation: turn(pixels, orientation).tolist() for orientation in expected} == expected


@pytest.mark.parametrize(
    "content",
    [b"hello", b"<html></html>", b"version https://git-lfs.github.com/spec/v1\n", b"\xff\xd8\xff", b"\x89PNG"],
)
def test_what_is_no_image_is_named(content: bytes) -> None:
    with pytest.raises(UnreadableImageError, match=r"image\.jpg .* is not a complete image"):
        decode_image(content, "image.jpg")


def test_an_empty_file_is_named() -> None:
    with pytest.raises(UnreadableImageError, match=r"image\.jpg is empty"):
        decode_image(b"", "image.jpg")


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP", "TIFF", "BMP"])
@pytest.mark.parametrize("keep", [0.1, 0.5, 0.97])
def test_a_truncated_image_is_named(file_format: str, keep: float) -> None:
    content = encode(Image.fromarray(NOISY), file_format)
    with pytest.raises(UnreadableImageError, match=r"x\.img .* is not a complete image"):
        decode_image(content[: int(len(content) * keep)], "x.img")


def test_truncation_is_noticed_even_if_the_decoder_fills_with_grey(monkeypatch: pytest.MonkeyPatch) -> None:
    content = encode(Image.fromarray(RGB), "PNG")[:-200]
    monkeypatch.setattr("cv2.imdecode", lambda *_: RGB)  # what OpenCV 4 does
    with pytest.raises(UnreadableImageError):
        decode_image(content, "x")


@pytest.mark.parametrize(
    ("file_format", "options"),
    [("JPEG", dict(quality=90)), ("JPEG", dict(quality=90, progressive=True)), ("TIFF", dict(compression="tiff_lzw"))],
)
def test_damage_in_the_middle_is_named(file_format: str, options: dict) -> None:
    content = bytearray(encode(Image.fromarray(NOISY), file_format, **options))
    middle = len(content) // 2
    content[middle : middle + 400] = np.random.default_rng(1).bytes(400)
    with pytest.raises(UnreadableImageError, match=r"x\.img .* is not a complete image"):
        decode_image(bytes(content), "x.img")


def test_every_changed_byte_of_a_png_is_noticed() -> None:
    content = encode(Image.fromarray(NOISY), "PNG")
    for position in range(60, len(content) - 20, len(content) // 10):
        damaged = bytearray(content)
        damaged[position] ^= 4
        with pytest.raises(UnreadableImageError):
            decode_image(bytes(damaged), "x")


@pytest.mark.parametrize("file_format", ["JPEG", "PNG"])
def test_bytes_after_the_end_are_harmless(file_format: str) -> None:
    content = encode(Image.fromarray(RGB), file_format)
    np.testing.assert_array_equal(decode_image(content + b"\x00" * 50, "x"), decode_image(content, "x"))


def test_padding_before_the_end_of_a_jpeg_is_harmless() -> None:
    content = encode(Image.fromarray(RGB), "JPEG")
    for padding in (b"\x12\x34", b"\x00" * 60):
        padded = content[:-2] + padding + content[-2:]
        np.testing.assert_array_equal(decode_image(padded, "x"), decode_image(content, "x"))


def bomb(width: int, height: int) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = zlib.compress(bytes(1000))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def test_a_small_file_of_many_pixels_is_too_large() -> None:
    with pytest.raises(UnreadableImageError, match=r"x\.png is too large: 1,200,000,000 pixels, more than 178,956,970"):
        decode_image(bomb(40_000, 30_000), "x.png")
    for file_format in ("PNG", "JPEG", "TIFF"):
        content = encode(Image.fromarray(RGB), file_format)
        assert decode_image(content, "x", max_pixels=120 * 160).shape == (120, 160, 3)
        with pytest.raises(UnreadableImageError, match=r"19,200 pixels, more than 19,199.*max_pixels"):
            decode_image(content, "x", max_pixels=120 * 160 - 1)


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_more_pixels_than_pillow_takes_can_be_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 4000)
    content = encode(Image.fromarray(RGB), "PNG", 6)
    with pytest.raises(UnreadableImageError, match="too large"):
        decode_image(content, "x", max_pixels=8000)
    assert decode_image(content, "x", max_pixels=20_000).shape == (160, 120, 3)


@pytest.mark.parametrize("shape", [(1, 1), (1, 3000), (3000, 1)])
def test_extreme_shapes_load(shape: tuple[int, int]) -> None:
    content = cv2.imencode(".png", np.full((*shape, 3), 9, np.uint8))[1].tobytes()
    assert decode_image(content, "x").shape == (*shape, 3)
