"""Captioned images in COCO's captions format."""

from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

from msgspec import Struct

from densevlm_mm.datasets.annotations.json_files import read_json, require_existing


class CaptionedImage(NamedTuple):
    """An image file and what people say about it; at least one caption."""

    path: str
    captions: tuple[str, ...]
    img_id: int | str | None = None


class _Image(Struct, gc=False):
    id: int | str
    file_name: str


class _Caption(Struct, gc=False):
    image_id: int | str
    caption: str


class _CaptionsFile(Struct):
    images: list[_Image]
    annotations: list[_Caption]


def load_captions(ann_file: str | Path, image_dir: str | Path | None = None) -> list[CaptionedImage]:
    """Read a captions file.

    Args:
        ann_file: JSON with ``images`` (``id``, ``file_name``) and ``annotations`` (``image_id``, ``caption``).
        image_dir: Folder of the images; None leaves the paths as the file has them, and does not look for images.

    Returns:
        The images that have captions, in the order of the file.

    Raises:
        FileNotFoundError: If the file or the first image does not exist.
        ValueError: If the file is malformed, has no caption, or a caption of an image that it does not list.
    """
    content = read_json(str(ann_file), "captions file", _CaptionsFile)
    captions = defaultdict(list)
    for annotation in content.annotations:
        if text := annotation.caption.strip():
            captions[annotation.image_id].append(text)
    unknown = captions.keys() - {image.id for image in content.images}
    if unknown:
        raise ValueError(f"{ann_file}: image {next(iter(unknown))} has a caption but is not among the file's images")
    found = [
        CaptionedImage(
            image.file_name if image_dir is None else str(Path(image_dir) / image.file_name),
            tuple(captions[image.id]),
            image.id,
        )
        for image in content.images
        if image.id in captions
    ]
    if not found:
        raise ValueError(f"{ann_file} has no caption")
    if image_dir is not None:
        require_existing(found[0].path, "the first captioned image")
    return found
