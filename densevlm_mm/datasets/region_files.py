"""Reading files of given image regions: proposals, annotated boxes or pseudo labels."""

from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any

import numpy as np
from mmengine import fileio

from densevlm_mm.datasets.annotation_files import require_existing


@dataclass(frozen=True)
class ImageRegions:
    """Regions of one image.

    Attributes:
        boxes_xyxy: (R, 4) float32, source pixels.
        region_ids: (R,) int64, positions among all regions that the file has of the image; they stay when filters drop
            some, so that (image id, region id) addresses a region.
        category_labels: (R,) int64, positions in the file's classes; ``None`` for a file without categories.
    """

    boxes_xyxy: np.ndarray
    region_ids: np.ndarray
    category_labels: np.ndarray | None


@dataclass(frozen=True)
class RegionFile:
    """What a region file holds.

    Attributes:
        regions: per image, by what the file calls it (``image_id``, else ``file_name``); only images with regions.
        images: the file's image records by id and by file name; empty if it has none.
        classes: category names in ascending order of their ids; empty without categories.
        is_thing: their thing flags where the file has them.
        dropped: number of regions left out, by reason.
    """

    regions: dict[Hashable, ImageRegions]
    images: dict[Hashable, dict]
    classes: tuple[str, ...]
    is_thing: tuple[bool, ...] | None
    dropped: dict[str, int]

    def of_image(self, img_id: Hashable) -> ImageRegions | None:
        """Regions of an image, given its id or its file name; ``None`` if there are none."""
        if img_id in self.regions:
            return self.regions[img_id]
        record = self.images.get(img_id, {})
        return self.regions.get(record.get("id"), self.regions.get(record.get("file_name")))


def load_region_file(
    path: str, min_size: float = 1, min_score: float | None = None, backend_args: dict | None = None
) -> RegionFile:
    """Load regions in one of COCO's two JSON forms.

    Either an object with ``annotations`` and optionally ``images`` and ``categories`` (instance annotations), or a list
    (results of a detector, proposals). A region has ``bbox`` (x, y, width, height in source pixels), ``image_id`` or
    ``file_name``, and optionally ``category_id``, ``score`` and ``iscrowd``; crowds are left out.

    Args:
        path: path or URI.
        min_size: shortest side in source pixels that a region must have.
        min_score: lowest ``score`` that a region must have; ``None`` does not look at scores.
        backend_args: arguments of mmengine's file backend.

    Returns:
        The regions.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no such JSON, or a region is malformed.
    """
    require_existing(path, "region file", backend_args)
    content = _load(path, backend_args)
    categories = sorted(content.get("categories") or [], key=lambda category: category["id"])
    label_of = {category["id"]: label for label, category in enumerate(categories)}
    with_labels = _has_categories(content["annotations"], categories, path)
    rows: dict[Hashable, list[tuple]] = defaultdict(list)
    counts: Counter[Hashable] = Counter()
    dropped = dict.fromkeys(("crowd", f"side below {min_size} pixels", f"score below {min_score}"), 0)
    crowd, small, unsure = dropped
    for region in content["annotations"]:
        key, (x, y, width, height) = _image_key(region, path), _checked_bbox(region, path)
        region_id = counts[key]
        counts[key] += 1
        if region.get("iscrowd"):
            dropped[crowd] += 1
        elif min(width, height) < min_size:
            dropped[small] += 1
        elif min_score is not None and _score(region, path) < min_score:
            dropped[unsure] += 1
        else:
            label = _label(region, label_of, path) if with_labels else -1
            rows[key].append((x, y, x + width, y + height, region_id, label))
    return RegionFile(
        regions={key: _to_arrays(image_rows, with_labels) for key, image_rows in rows.items()},
        images=_index_images(content.get("images") or []),
        classes=tuple(category["name"] for category in categories) if with_labels else (),
        is_thing=_thing_flags(categories) if with_labels else None,
        dropped={reason: count for reason, count in dropped.items() if count},
    )


def _load(path: str, backend_args: dict | None) -> dict[str, Any]:
    try:
        content = fileio.load(path, file_format="json", backend_args=backend_args)
    except ValueError as error:
        raise ValueError(f"region file {path} is not valid JSON ({error}): make it again") from error
    if isinstance(content, list):
        return dict(annotations=content)
    if not isinstance(content, dict) or not isinstance(content.get("annotations"), list):
        found = sorted(content) if isinstance(content, dict) else type(content).__name__
        raise ValueError(f"region file {path} is neither a list nor has it an 'annotations' list, only {found}")
    return content


def _has_categories(annotations: Sequence[dict], categories: Sequence[dict], path: str) -> bool:
    """Whether the regions are labelled: all of them or none."""
    if not categories or not annotations:
        return False
    without = sum("category_id" not in region for region in annotations)
    if 0 < without < len(annotations):
        raise ValueError(f"region file {path}: {without} of {len(annotations)} regions have no category_id")
    return without == 0


def _image_key(region: dict, path: str) -> Hashable:
    key = region.get("image_id", region.get("file_name"))
    if key is None:
        raise ValueError(f"region file {path}: a region needs 'image_id' or 'file_name', but one has {sorted(region)}")
    return key


def _checked_bbox(region: dict, path: str) -> Sequence[float]:
    bbox: Any = region.get("bbox")
    is_box = isinstance(bbox, list) and len(bbox) == 4 and all(isinstance(v, int | float) and isfinite(v) for v in bbox)
    if not is_box or min(bbox[2:]) < 0:
        raise ValueError(
            f"region file {path}: bbox {bbox} of image {_image_key(region, path)!r} is not [x, y, width, height] in "
            "pixels"
        )
    return bbox


def _score(region: dict, path: str) -> float:
    if "score" not in region:
        raise ValueError(
            f"region file {path}: a region of image {_image_key(region, path)!r} has no score: leave out min_score"
        )
    return region["score"]


def _label(region: dict, label_of: dict[int, int], path: str) -> int:
    if region["category_id"] not in label_of:
        raise ValueError(
            f"region file {path}: category_id {region['category_id']} of image {_image_key(region, path)!r} is not "
            "among its categories"
        )
    return label_of[region["category_id"]]


def _to_arrays(rows: list[tuple], with_labels: bool) -> ImageRegions:
    table = np.array(rows, dtype=np.float64)
    labels = table[:, 5].astype(np.int64) if with_labels else None
    return ImageRegions(table[:, :4].astype(np.float32), table[:, 4].astype(np.int64), labels)


def _index_images(images: Iterable[dict]) -> dict[Hashable, dict]:
    index: dict[Hashable, dict] = {}
    for image in images:
        for key in ("file_name", "id"):
            if key in image:
                index[image[key]] = image
    return index


def _thing_flags(categories: Sequence[dict]) -> tuple[bool, ...] | None:
    if not all("isthing" in category for category in categories):
        return None
    return tuple(bool(category["isthing"]) for category in categories)
