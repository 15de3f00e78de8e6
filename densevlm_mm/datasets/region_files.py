"""Reading files of given image regions: proposals, annotated boxes or pseudo labels."""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from msgspec import Struct

from densevlm_mm.datasets.annotations.json_files import read_json
from densevlm_mm.datasets.annotations.listing import check_categories, positions_of
from densevlm_mm.datasets.annotations.problems import Problems
from densevlm_mm.datasets.annotations.records import ABSENT, Box, CategoryRecord, Id


class RegionRecord(Struct, gc=False):
    """A region, as it is parsed."""

    image_id: int | str | None = None
    file_name: str | None = None
    category_id: Id = ABSENT
    bbox: Box | None = None
    score: float | None = None
    iscrowd: bool | int | None = None


class RegionImage(Struct, gc=False):
    """An image of a region file."""

    id: int | str | None = None
    file_name: str | None = None
    height: int | None = None
    width: int | None = None


class RegionContent(Struct):
    """A region file with its images and categories."""

    annotations: list[RegionRecord]
    images: list[RegionImage] | None = None
    categories: list[CategoryRecord] | None = None


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
        regions: Per image, by what the file calls it (``image_id``, else ``file_name``); only images with regions.
        images: The file's image records by id and by file name; empty if it has none.
        classes: Category names in ascending order of their ids; empty without categories.
        is_thing: Their thing flags where the file has them.
        dropped: Number of regions left out, by reason.
    """

    regions: dict[Hashable, ImageRegions]
    images: dict[Hashable, RegionImage]
    classes: tuple[str, ...]
    is_thing: tuple[bool, ...] | None
    dropped: dict[str, int]

    def of_image(self, img_id: Hashable) -> ImageRegions | None:
        """Regions of an image, given its id or its file name; ``None`` if there are none."""
        if img_id in self.regions:
            return self.regions[img_id]
        record = self.images.get(img_id)
        if record is None:
            return None
        return self.regions.get(record.id, self.regions.get(record.file_name))


def load_region_file(
    path: str, min_size: float = 1, min_score: float | None = None, backend_args: dict | None = None
) -> RegionFile:
    """Load regions in one of COCO's two JSON forms.

    Either an object with ``annotations`` and optionally ``images`` and ``categories`` (instance annotations), or a list
    (results of a detector, proposals). A region has ``bbox`` (x, y, width, height in source pixels), ``image_id`` or
    ``file_name``, and optionally ``category_id``, ``score`` and ``iscrowd``; crowds are left out.

    Args:
        path: Path or URI.
        min_size: Shortest side in source pixels that a region must have.
        min_score: Lowest ``score`` that a region must have; ``None`` does not look at scores.
        backend_args: Arguments of mmengine's file backend.

    Returns:
        The regions.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is no such JSON, or a region is malformed.
    """
    content = read_json(path, "region file", RegionContent | list[RegionRecord], backend_args)
    if isinstance(content, list):
        content = RegionContent(content)
    problems = Problems(f"region file {path}")
    records = content.annotations
    categories = sorted(content.categories or (), key=lambda category: category.id)
    if categories:
        check_categories(categories, problems)
    keys = [record.file_name if record.image_id is None else record.image_id for record in records]

    def name(row: int) -> str:
        return f"region number {row} of image {keys[row]!r}"

    boxes = _check_boxes(records, keys, problems, name)
    labels = _labels(records, categories, problems, name)
    if min_score is not None:
        missing = [record.score is None for record in records]
        problems.add(missing, "no score", name, "Leave out min_score")
    problems.raise_if_any()

    reasons = {
        "crowd": np.array([bool(record.iscrowd) for record in records], dtype=bool),
        f"side below {min_size} pixels": boxes[:, 2:].min(axis=1, initial=np.inf) < min_size,
    }
    if min_score is not None:
        scores = np.array([record.score for record in records], dtype=np.float64)
        reasons[f"score below {min_score}"] = scores < min_score
    kept = np.ones(len(records), dtype=bool)
    dropped = {}
    for reason, applies in reasons.items():
        dropped[reason] = int((kept & applies).sum())
        kept &= ~applies
    boxes[:, 2:] += boxes[:, :2]
    return RegionFile(
        regions=_by_image(keys, boxes, labels, kept),
        images=_index_images(content.images or ()),
        classes=tuple(str(category.name) for category in categories) if labels is not None else (),
        is_thing=_thing_flags(categories) if labels is not None else None,
        dropped={reason: count for reason, count in dropped.items() if count},
    )


def _check_boxes(
    records: Sequence[RegionRecord], keys: Sequence[Hashable], problems: Problems, name: Callable[[int], str]
) -> np.ndarray:
    """Boxes (R, 4) float64, x, y, width, height."""
    problems.add(
        [key is None for key in keys], "neither 'image_id' nor 'file_name'", lambda row: f"region number {row}"
    )
    problems.add(
        [record.bbox is None for record in records],
        "'bbox' is missing",
        name,
        "A box is [x, y, width, height] in pixels",
    )
    boxes = np.array([record.bbox or (0, 0, 0, 0) for record in records], dtype=np.float64).reshape(-1, 4)
    negative = np.any(boxes[:, 2:] < 0, axis=1)
    for row in np.flatnonzero(negative)[:1]:
        text = f"bbox {list(records[row].bbox or ())} has a negative side"
        problems.add(negative, text, name, "A box is [x, y, width, height] in pixels")
    return boxes


def _labels(
    records: Sequence[RegionRecord],
    categories: Sequence[CategoryRecord],
    problems: Problems,
    name: Callable[[int], str],
) -> np.ndarray | None:
    """Positions (R,) in the categories in ascending order of their ids; None if the regions have no categories."""
    ids = np.array([record.category_id for record in records], dtype=np.int64)
    missing = ids == ABSENT
    if not categories or missing.all():
        return None
    problems.add(missing, "no category_id", name, "Give it to all regions or to none")
    labels = positions_of(ids, np.array([category.id for category in categories], dtype=np.int64))
    unknown = ~missing & (labels < 0)
    for row in np.flatnonzero(unknown)[:1]:
        problems.add(unknown, f"category_id {ids[row]} is not among the file's categories", name)
    return labels


def _by_image(
    keys: Sequence[Hashable], boxes_xyxy: np.ndarray, labels: np.ndarray | None, kept: np.ndarray
) -> dict[Hashable, ImageRegions]:
    index: dict[Hashable, int] = {}
    image = np.fromiter((index.setdefault(key, len(index)) for key in keys), np.int64, len(keys))
    order = np.argsort(image, kind="stable")
    bounds = np.searchsorted(image[order], np.arange(len(index) + 1))
    regions = {}
    for key, position in index.items():
        rows = order[bounds[position] : bounds[position + 1]]
        region_ids = np.flatnonzero(kept[rows])
        if len(region_ids):
            rows = rows[region_ids]
            regions[key] = ImageRegions(
                boxes_xyxy[rows].astype(np.float32), region_ids, None if labels is None else labels[rows]
            )
    return regions


def _index_images(images: Sequence[RegionImage]) -> dict[Hashable, RegionImage]:
    index: dict[Hashable, RegionImage] = {}
    for image in images:
        for key in (image.file_name, image.id):
            if key is not None:
                index[key] = image
    return index


def _thing_flags(categories: Sequence[CategoryRecord]) -> tuple[bool, ...] | None:
    if any(category.isthing is None for category in categories):
        return None
    return tuple(bool(category.isthing) for category in categories)
