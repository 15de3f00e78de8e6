"""Captioned images in COCO's captions format."""

from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

from densevlm_mm.datasets.annotations.json_files import read_lists, require_existing


class CaptionedImage(NamedTuple):
    """An image file and what people say about it; at least one caption."""

    path: str
    captions: tuple[str, ...]


def load_captions(ann_file: str | Path, image_dir: str | Path) -> list[CaptionedImage]:
    """Read a captions file.

    Args:
        ann_file: JSON with ``images`` (``id``, ``file_name``) and ``annotations`` (``image_id``, ``caption``).
        image_dir: Folder of the images.

    Returns:
        The images that have captions, in the order of the file.

    Raises:
        FileNotFoundError: If the file or the first image does not exist.
        ValueError: If the file is malformed, has no caption, or a caption of an image that it does not list.
    """
    content = read_lists(str(ann_file), "captions file", ("images", "annotations"))
    captions = defaultdict(list)
    for annotation in content["annotations"]:
        if "caption" not in annotation:
            raise ValueError(
                f"{ann_file}: an annotation has {sorted(annotation)} but no 'caption': is it the right file?"
            )
        text = annotation["caption"].strip()
        if text:
            captions[annotation["image_id"]].append(text)
    unknown = captions.keys() - {image["id"] for image in content["images"]}
    if unknown:
        raise ValueError(f"{ann_file}: image {sorted(unknown)[0]} has a caption but is not among the file's images")
    found = [
        CaptionedImage(str(Path(image_dir) / image["file_name"]), tuple(captions[image["id"]]))
        for image in content["images"]
        if image["id"] in captions
    ]
    if not found:
        raise ValueError(f"{ann_file} has no caption")
    require_existing(found[0].path, "the first captioned image")
    return found
