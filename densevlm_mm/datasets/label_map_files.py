"""Reading label maps: images of one channel whose values are labels, not colours."""

import io

import numpy as np
from PIL import Image

from densevlm_mm.datasets.image_files import MAX_PIXELS, read_header

_WHOLE_NUMBERS = ("1", "L", "P", "I")  # Pillow's modes, beside those of 16 bits, which begin with "I;16"


def decode_label_map(content: bytes, path: str, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """Decode a label map of 1 to 32 bits; of a palette image the indices are the labels.

    Args:
        content: The encoded file.
        path: Where it came from, for the error.
        max_pixels: Largest number of pixels that is decoded.

    Returns:
        (H, W) int32, as stored: an EXIF orientation is not followed.

    Raises:
        ValueError: If the file is unreadable or too large, has several channels, holds no whole numbers, or is
            compressed with loss, which makes other labels.
    """
    read_header(content, path, max_pixels)
    image = Image.open(io.BytesIO(content))
    if image.format in ("JPEG", "MPO"):
        raise ValueError(f"label map {path} is a JPEG, which changes values: write label maps as PNG, from the source")
    if image.mode not in _WHOLE_NUMBERS and not image.mode.startswith("I;16"):
        raise ValueError(f"label map {path} {_why_not(image)}")
    try:
        return np.asarray(image).astype(np.int32)  # the widest type that cv2.resize takes
    except (OSError, ValueError, SyntaxError) as error:
        raise ValueError(f"label map {path} cannot be read ({error}): fetch or convert it again") from error


def _why_not(image: Image.Image) -> str:
    bands = image.getbands()
    if len(bands) == 1:
        return f"holds floating-point numbers (mode {image.mode}), not labels: save it with 8 or 16 bits"
    try:
        planes = [np.asarray(image.getchannel(band)) for band in bands if band not in "Aa"]
    except (OSError, ValueError, SyntaxError):
        planes = []
    reason = f"has {len(bands)} channels (mode {image.mode}), not one of labels"
    if planes and all(np.array_equal(planes[0], plane) for plane in planes):
        return f"{reason}. They are equal, so save one: PIL.Image.open(FILE).getchannel(0).save(FILE)"
    return f"{reason}: is it a picture? If its colours stand for classes, save their numbers"


def check_labels(labels: np.ndarray, num_labels: int, ignore_index: int, path: str) -> None:
    """Check that all labels mean something.

    Args:
        labels: (H, W) whole numbers.
        num_labels: K; labels are 0 to K - 1.
        ignore_index: Label of pixels that do not count.
        path: The file, for the error.

    Raises:
        ValueError: If there is another label; names it and how many pixels have it.
    """
    wrong = ((labels < 0) | (labels >= num_labels)) & (labels != ignore_index)
    if wrong.any():
        values, counts = np.unique(labels[wrong], return_counts=True)
        shown = ", ".join(f"{value} ({count} pixels)" for value, count in zip(values[:5], counts[:5], strict=True))
        raise ValueError(
            f"label map {path} has labels that are neither a class (0 to {num_labels - 1}) nor the ignored label "
            f"{ignore_index}: {shown}. Convert it to the labels of the data set's classes, or name the classes or the "
            "ignored label that it has (metainfo.classes, ignore_index, reduce_zero_label)"
        )


def check_shape(labels: np.ndarray, image_shape: tuple[int, int], path: str, image_path: str) -> None:
    """Check that a label map is as large as its image.

    Args:
        labels: (H, W).
        image_shape: Height and width of the image.
        path: The label map, for the error.
        image_path: The image, for the error.

    Raises:
        ValueError: If it is not.
    """
    if labels.shape != tuple(image_shape):
        raise ValueError(
            f"label map {path} is {labels.shape[1]} x {labels.shape[0]} (width x height), but its image {image_path} "
            f"{image_shape[1]} x {image_shape[0]}: they do not belong together, or one was resized"
        )
