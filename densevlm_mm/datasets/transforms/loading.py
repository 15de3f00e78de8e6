"""Reading images, with errors that name the file."""

import io

import cv2
import mmcv
import numpy as np
from mmcv.transforms import LoadImageFromFile
from mmengine import fileio
from PIL import Image

from densevlm_mm.registry import TRANSFORMS

# The bytes a complete file of the format ends with.
_FILE_ENDS = {b"\xff\xd8\xff": b"\xff\xd9", b"\x89PNG": b"IEND\xaeB`\x82"}


class UnreadableImageError(ValueError):
    """A file exists but is not a complete image."""


def read_file(path: str, backend_args: dict | None = None) -> bytes:
    """Read a file through mmengine's file backends.

    Args:
        path: path or URI.
        backend_args: arguments of the file backend.

    Returns:
        The file's bytes.

    Raises:
        FileNotFoundError: there is no such file.
    """
    try:
        return fileio.get(path, backend_args=backend_args)
    except (FileNotFoundError, IsADirectoryError) as error:
        raise FileNotFoundError(f"no file {path}: check data_root, data_prefix and the annotation file") from error


def decode_image(content: bytes, path: str, flag: str = "color", backend: str = "cv2") -> np.ndarray:
    """Decode a whole image to three channels.

    Grey, palette and 16-bit images become 8-bit colour, CMYK is converted, an alpha channel is dropped.

    Args:
        content: the encoded image.
        path: where it came from, for the error.
        flag: ``color`` turns the image as its EXIF orientation says, ``color_ignore_orientation`` does not.
        backend: ``cv2`` or ``pillow``.

    Returns:
        (h, w, 3) uint8, channels BGR.

    Raises:
        UnreadableImageError: empty, not an image, or truncated.
    """
    if not content:
        raise UnreadableImageError(f"{path} is empty: fetch the file again or take it off the list")
    try:
        img = mmcv.imfrombytes(content, flag=flag, backend=backend)
    except (cv2.error, OSError, ValueError, SyntaxError) as error:  # Pillow raises SyntaxError for a broken PNG
        raise UnreadableImageError(_unreadable(content, path)) from error
    if img is None or not _is_complete(content):
        raise UnreadableImageError(_unreadable(content, path))
    return img


def _unreadable(content: bytes, path: str) -> str:
    return (
        f"{path} ({len(content)} bytes, begins with {content[:16]!r}) is not a complete image: fetch the file again or "
        "take it off the list"
    )


def _is_complete(content: bytes) -> bool:
    """Whether the file reaches its end. Some OpenCV versions fill what is missing with grey and say nothing."""
    end = next((end for start, end in _FILE_ENDS.items() if content.startswith(start)), b"")
    if content.endswith(end):
        return True
    try:  # bytes after the end are harmless and not rare: let Pillow, which does complain, decide
        Image.open(io.BytesIO(content)).load()
    except (OSError, ValueError, SyntaxError):
        return False
    return True


@TRANSFORMS.register_module()
class LoadImage(LoadImageFromFile):
    """Load the image at ``img_path``; see :func:`decode_image` for what becomes of grey, CMYK and other images.

    If the annotations say the image's ``height`` and ``width`` and the image has these only without its EXIF
    rotation, it is left
    unrotated: regions and pixels must agree.

    Adds ``img`` (h, w, 3) uint8 BGR, ``img_shape`` and ``ori_shape`` (h, w).

    Args:
        color_type: ``color`` or ``color_ignore_orientation`` (disregard EXIF orientation).
        imdecode_backend: ``cv2`` or ``pillow``.
        backend_args: arguments of mmengine's file backend.

    Raises:
        ValueError: unknown ``color_type``, or the image is not of the annotated size.
        FileNotFoundError: there is no such file.
        UnreadableImageError: the file is not a complete image.
    """

    image_arguments: tuple[str, ...] = ("color_type", "imdecode_backend")  # docs/teacher_cache.md

    def __init__(
        self, color_type: str = "color", imdecode_backend: str = "cv2", *, backend_args: dict | None = None
    ) -> None:
        if color_type not in ("color", "color_ignore_orientation"):
            raise ValueError(f"color_type must be 'color' or 'color_ignore_orientation', not {color_type!r}")
        super().__init__(color_type=color_type, imdecode_backend=imdecode_backend, backend_args=backend_args)

    def transform(self, results: dict) -> dict:
        """Add the image.

        Args:
            results: must hold ``img_path``; ``height`` and ``width`` are checked if there.

        Returns:
            ``results`` with ``img``, ``img_shape`` and ``ori_shape``.
        """
        path = results["img_path"]
        content = read_file(path, self.backend_args)
        img = decode_image(content, path, self.color_type, self.imdecode_backend)
        if "height" in results and "width" in results:
            annotated = (results["height"], results["width"])
            if img.shape[:2] == annotated[::-1] != annotated:
                img = decode_image(content, path, "color_ignore_orientation", self.imdecode_backend)
            if img.shape[:2] != annotated:
                raise ValueError(
                    f"{path} is {img.shape[1]} x {img.shape[0]} (width x height) but is annotated as {annotated[1]} x "
                    f"{annotated[0]}: the images and the annotation file do not belong together"
                )
        results["img"] = img
        results["img_shape"] = results["ori_shape"] = img.shape[:2]
        return results
