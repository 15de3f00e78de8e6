"""Decoding image files: right pixels in a known frame, or an error that names the file."""

import io
import re
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
import simplejpeg
from mmengine import fileio
from PIL import Image

# Pillow's own limit; 537 MB as three 8-bit channels.
MAX_PIXELS = 178_956_970

Frame = Literal["shown", "stored"]

_ORIENTATION = 0x0112  # EXIF and TIFF tag
_JPEG = b"\xff\xd8\xff"
_TIFF = (b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+")
# The bytes a complete file of the format ends with.
_FILE_ENDS = {_JPEG: b"\xff\xd9", b"\x89PNG": b"IEND\xaeB`\x82"}
# Pillow's modes of 8 bits and less; deeper ones it cannot bring to 8 bits, or not to the values that OpenCV gives.
_EIGHT_BITS = {"1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "RGBa", "CMYK", "YCbCr"}
_PILLOW_ERRORS = (OSError, ValueError, SyntaxError, TypeError, KeyError, IndexError, EOFError, OverflowError)
_HOW_TO_SETTLE = (
    "Remove the tag from the file if it was annotated as stored, turn its pixels if as shown, or say it for all images "
    "with LoadImage(orientation='stored') or LoadImage(orientation='shown')"
)
# Encoders leave a few bytes between the picture and its end; a damaged picture leaves more.
_HARMLESS_EXTRA_BYTES = 16


class UnreadableImageError(ValueError):
    """A file exists but is not a complete, undamaged image of a size that can be loaded."""


@dataclass(frozen=True)
class ImageHeader:
    """What the header of an image file says.

    Attributes:
        height: Rows as stored.
        width: Columns as stored.
        orientation: EXIF orientation, 1 (shown as stored) to 8.
    """

    height: int
    width: int
    orientation: int

    def shape(self, frame: Frame) -> tuple[int, int]:
        """Height and width as stored, or as shown when the orientation is followed."""
        turned = frame == "shown" and self.orientation >= 5
        return (self.width, self.height) if turned else (self.height, self.width)


def read_file(path: str, backend_args: dict | None = None) -> bytes:
    """Read a file through mmengine's file backends.

    Args:
        path: Path or URI.
        backend_args: Arguments of the file backend.

    Returns:
        The file's bytes.

    Raises:
        FileNotFoundError: If there is no such file.
    """
    try:
        return fileio.get(path, backend_args=backend_args)
    except (FileNotFoundError, IsADirectoryError) as error:
        raise FileNotFoundError(f"no file {path}: check data_root, data_prefix and the annotation file") from error


def read_header(content: bytes, path: str, max_pixels: int = MAX_PIXELS) -> ImageHeader:
    """Read size and orientation of an encoded image without decoding it.

    Args:
        content: The encoded image.
        path: Where it came from, for the error.
        max_pixels: Largest number of pixels that an image may have.

    Raises:
        UnreadableImageError: If it is empty, no image, or too large.
    """
    if not content:
        raise UnreadableImageError(f"{path} is empty: fetch the file again or take it off the list")
    if content.startswith(_JPEG):
        try:
            height, width = simplejpeg.decode_jpeg_header(content)[:2]
        except ValueError as error:
            raise UnreadableImageError(_unreadable(content, path, str(error))) from error
        if height * width > max_pixels:
            raise UnreadableImageError(_too_large(path, height * width, max_pixels))
        if b"Exif\x00\x00" not in content:  # a hundred times faster than looking properly
            return ImageHeader(height, width, 1)
    image = _open(content, path, max_pixels)
    width, height = image.size
    if height * width > max_pixels:
        raise UnreadableImageError(_too_large(path, height * width, max_pixels))
    orientation = _orientation(image)
    if image.format == "TIFF" and orientation >= 5:  # Pillow gives the size of a TIFF as shown
        width, height = height, width
    return ImageHeader(height, width, orientation)


def decode_image(
    content: bytes, path: str, frame: Frame = "shown", max_pixels: int = MAX_PIXELS, header: ImageHeader | None = None
) -> np.ndarray:
    """Decode a whole image to three channels.

    Grey, palette and 16-bit images become 8-bit colour, CMYK is converted, an alpha channel is dropped. Of several
    pages or pictures the first is taken.

    Damage is noticed as far as the format allows: always in a PNG, which has check sums; in JPEG and TIFF with LZW
    where the decoder stumbles over it (two of three damages of up to 512 bytes in our measurement; most of the others
    change few pixels); not at all in uncompressed formats and WebP.

    Args:
        content: The encoded image.
        path: Where it came from, for the error.
        frame: ``'shown'`` turns the image as its EXIF orientation says, ``'stored'`` does not.
        max_pixels: Largest number of pixels that is decoded.
        header: Of :func:`read_header`, if it has been read.

    Returns:
        (h, w, 3) uint8, channels BGR.

    Raises:
        UnreadableImageError: If it is empty, not an image, truncated, damaged or too large.
    """
    header = header or read_header(content, path, max_pixels)
    is_tiff = content.startswith(_TIFF)
    try:
        if content.startswith(_JPEG):
            image = _decode_jpeg(content)
        else:
            image = _decode_tiff(content) if is_tiff else _decode_with_opencv(content)
    except (cv2.error, *_PILLOW_ERRORS) as error:  # Pillow raises SyntaxError for a broken header
        raise UnreadableImageError(_unreadable(content, path, str(error))) from error
    if is_tiff:  # the decoders turn a TIFF, whatever they are told
        return _turn_back(image, header.orientation) if frame == "stored" else image
    return turn(image, header.orientation) if frame == "shown" else image


def turn(image: np.ndarray, orientation: int) -> np.ndarray:
    """Turn and mirror pixels from how they are stored to how they are shown.

    Args:
        image: (h, w, ...).
        orientation: EXIF orientation, 1 to 8.

    Returns:
        (h, w, ...), or (w, h, ...) for orientations 5 to 8.
    """
    if orientation in (5, 6, 7, 8):
        image = image.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        image = image[::-1]
    if orientation in (2, 3, 6, 7):
        image = image[:, ::-1]
    return np.ascontiguousarray(image)


def annotated_frame(header: ImageHeader, annotated: tuple[int, int] | None, path: str) -> Frame:
    """Tell in which frame an image was annotated.

    Args:
        header: Of the image file.
        annotated: Height and width that its annotation is for; None without annotation.
        path: The image, for the error.

    Returns:
        ``'shown'`` for an image without annotation, and for one whose frames are the same.

    Raises:
        ValueError: If the annotated size is that of neither frame, or of both although they differ.
    """
    if header.orientation == 1 or annotated is None:
        return "shown"
    stored, shown = header.shape("stored"), header.shape("shown")
    if annotated not in (stored, shown):
        raise ValueError(other_size(path, stored, annotated))
    if stored == shown:
        raise ValueError(
            f"{path} has EXIF orientation {header.orientation} and is {stored[1]} x {stored[0]} (width x height) as "
            f"stored and as shown, so that its annotations do not say which was annotated. {_HOW_TO_SETTLE}"
        )
    return "shown" if annotated == shown else "stored"


def other_size(path: str, found: tuple[int, int], annotated: tuple[int, int]) -> str:
    """Say that an image has another height and width than its annotation."""
    return (
        f"{path} is {found[1]} x {found[0]} (width x height) but is annotated as {annotated[1]} x {annotated[0]}: the "
        "images and the annotation file do not belong together"
    )


def _turn_back(image: np.ndarray, orientation: int) -> np.ndarray:
    return turn(image, {6: 8, 8: 6}.get(orientation, orientation))  # all others are their own inverse


def _decode_jpeg(content: bytes) -> np.ndarray:
    """Decode with libjpeg-turbo, as OpenCV does (equal to the bit), but hear what it says about damage."""
    colour_space = simplejpeg.decode_jpeg_header(content)[2]
    if colour_space not in ("YCbCr", "Gray", "RGB"):
        return _decode_with_opencv(content)
    try:
        return simplejpeg.decode_jpeg(content, colorspace="BGR", strict=True)
    except ValueError as error:
        if not _is_harmless(str(error), content):
            raise
    return simplejpeg.decode_jpeg(content, colorspace="BGR", strict=False)


def _is_harmless(complaint: str, content: bytes) -> bool:
    """Whether libjpeg complains about nothing but padding after the picture."""
    found = re.search(r"(\d+) extraneous bytes before marker 0xd9", complaint)
    if found is None:
        return False
    count = int(found[1])
    end = content.rfind(b"\xff\xd9")
    return count <= _HARMLESS_EXTRA_BYTES or not content[end - count : end].strip(b"\x00")


def _decode_tiff(content: bytes) -> np.ndarray:
    """Decode with Pillow where it can: OpenCV multiplies colours by alpha, and misses what is damaged."""
    try:
        image = Image.open(io.BytesIO(content))
    except OSError:
        return _decode_with_opencv(content)
    if image.mode not in _EIGHT_BITS:
        return _decode_with_opencv(content)
    return np.asarray(image.convert("RGB"))[..., ::-1].copy()


def _decode_with_opencv(content: bytes) -> np.ndarray:
    image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    if image is None or image.ndim != 3 or image.dtype != np.uint8:
        raise ValueError("the decoder gives no picture of 8-bit colours")
    if not _is_complete(content):
        raise ValueError("the file ends too early")
    return image


def _is_complete(content: bytes) -> bool:
    """Whether the file reaches its end. Some OpenCV versions fill what is missing with grey and say nothing."""
    end = next((end for start, end in _FILE_ENDS.items() if content.startswith(start)), b"")
    if content.endswith(end):
        return True
    try:  # bytes after the end are harmless and not rare: let Pillow, which does complain, decide
        Image.open(io.BytesIO(content)).load()
    except _PILLOW_ERRORS:
        return False
    return True


def _open(content: bytes, path: str, max_pixels: int) -> Image.Image:
    # Pillow has one limit for the whole process, and refuses what is twice as large.
    if Image.MAX_IMAGE_PIXELS is not None and max_pixels > 2 * Image.MAX_IMAGE_PIXELS:
        Image.MAX_IMAGE_PIXELS = -(-max_pixels // 2)
    try:
        return Image.open(io.BytesIO(content))
    except Image.DecompressionBombError as error:
        pixels = re.search(r"\((\d+) pixels\)", str(error))
        raise UnreadableImageError(_too_large(path, int(pixels[1]) if pixels else None, max_pixels)) from error
    except _PILLOW_ERRORS as error:
        raise UnreadableImageError(_unreadable(content, path, "no known format")) from error


def _orientation(image: Image.Image) -> int:
    """EXIF orientation; 1 where there is none or it cannot be read, as all viewers take it."""
    try:
        if image.format == "TIFF":
            value = image.tag_v2.get(_ORIENTATION, 1)  # type: ignore[attr-defined]
        else:
            exif = Image.Exif()  # not getexif(), which also takes what XMP says, unlike viewers and OpenCV
            exif.load(image.info.get("exif", b""))
            value = exif.get(_ORIENTATION, 1)
    except (AttributeError, *_PILLOW_ERRORS):
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def _unreadable(content: bytes, path: str, reason: str) -> str:
    return (
        f"{path} ({len(content)} bytes, begins with {content[:16]!r}) is not a complete image ({reason}): fetch the "
        "file again or take it off the list"
    )


def _too_large(path: str, pixels: int | None, max_pixels: int) -> str:
    count = f"{pixels:,} pixels, " if pixels else ""
    return (
        f"{path} is too large: {count}more than {max_pixels:,}. Make it smaller, or allow it with "
        "LoadImage(max_pixels=...)"
    )
