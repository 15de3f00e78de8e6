"""Files of annotated objects in COCO's and LVIS's format, read into arrays and checked once."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from operator import attrgetter

import numpy as np
from msgspec import Raw

from densevlm_mm.datasets.annotations.json_files import name_image, read_json
from densevlm_mm.datasets.annotations.listing import (
    check_categories,
    check_images,
    lvis_file_name,
    positions_of,
)
from densevlm_mm.datasets.annotations.masks import MaskCheck, check_masks, is_flat, mask_area, parse_mask
from densevlm_mm.datasets.annotations.problems import Problems, log_repair
from densevlm_mm.datasets.annotations.records import (
    ABSENT,
    CategoryRecord,
    ImageRecord,
    InstanceContent,
    InstanceRecord,
)

# COCO's boxes reach over the border by less than a pixel, from rounding.
MAX_OVERHANG = 2.0


@dataclass(eq=False)
class InstanceFile:
    """A checked file of I images with N annotated objects of C categories.

    Attributes:
        source: What and where the file is.
        images: I records.
        file_names: I file names, below the folder of the images.
        categories: C records.
        ids: (N,) int64, the annotations' own numbers.
        image_rows: (N,) int64, positions in ``images``.
        category_rows: (N,) int64, positions in ``categories``.
        boxes_xywh: (N, 4) float64, pixels.
        areas: (N,) float64, square pixels, filled in where the file has none.
        is_crowd: (N,) bool.
        is_ignored: (N,) bool, the key ``ignore`` of some converted data sets.
        has_mask: (N,) bool.
        masks: N masks as JSON, empty where there is none.
        filled: Keys that were filled in, with the number of annotations.
    """

    source: str
    images: list[ImageRecord]
    file_names: list[str]
    categories: list[CategoryRecord]
    ids: np.ndarray
    image_rows: np.ndarray
    category_rows: np.ndarray
    boxes_xywh: np.ndarray
    areas: np.ndarray
    is_crowd: np.ndarray
    is_ignored: np.ndarray
    has_mask: np.ndarray
    masks: list[Raw]
    filled: dict[str, int]

    @property
    def image_ids(self) -> np.ndarray:
        """(I,) int64."""
        return np.array([image.id for image in self.images], dtype=np.int64)

    @property
    def category_ids(self) -> np.ndarray:
        """(C,) int64."""
        return np.array([category.id for category in self.categories], dtype=np.int64)

    def name(self, row: int) -> str:
        """Name an annotation by its own number and its image."""
        image = int(self.image_rows[row])
        return f"annotation {self.ids[row]} of {name_image(self.images[image].id, self.file_names[image])}"


def read_instances(
    path: str,
    lvis: bool = False,
    max_overhang: float = MAX_OVERHANG,
    allow_any_path: bool = False,
    backend_args: dict | None = None,
) -> InstanceFile:
    """Read and check a file of annotated objects.

    What can be filled in is, with a line in the log: ``area`` from the mask or the box, ``iscrowd`` as 0. A box without
    height or width is refused, unless its mask is as flat: COCO's train2017 has two such lines (annotations 918 and
    2206849).

    Args:
        path: Path or URI.
        lvis: Whether it is in LVIS's format: file names from ``coco_url`` where there is one.
        max_overhang: Pixels that a box may reach over the border of its image.
        allow_any_path: Leave it to the caller whether file names may lead out of the folder of the images.
        backend_args: Arguments of mmengine's file backend.

    Returns:
        The file.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no such file, or holds something impossible; names every kind of fault with the first
            record that has it.
    """
    what = "LVIS annotation file" if lvis else "instance annotation file"
    content = read_json(path, what, InstanceContent, backend_args)
    problems = Problems(f"{what} {path}")
    if content.annotations and _is_panoptic(content.annotations):
        problems.note(
            "its annotations have neither 'bbox' nor 'category_id'. A file of instances is needed; is this the "
            "panoptic one, or one of captions?"
        )
        problems.raise_if_any()
    names = [lvis_file_name(image) if lvis else image.file_name for image in content.images]
    check_images(content.images, names, problems, allow_any_path)
    check_categories(content.categories, problems)
    problems.raise_if_any()  # what follows looks things up in them
    file = _to_arrays(content, [str(name) for name in names], problems)
    problems.raise_if_any()
    _check_boxes(file, max_overhang, problems)
    _fill_areas(file, _check_masks(file, problems), problems)
    problems.raise_if_any()
    if lvis:
        file.filled.pop("iscrowd", None)  # its files have none
    for key, number in file.filled.items():
        log_repair(file.source, f"filled in {key!r} of {number} of {len(file.ids)} annotations", logging.INFO)
    return file


def check_federated(file: InstanceFile) -> None:
    """Check that a file says of every image which classes were looked for, as LVIS's evaluation needs it.

    Args:
        file: A file in LVIS's format.

    Raises:
        ValueError: If it does not.
    """
    problems = Problems(file.source)
    for key in ("neg_category_ids", "not_exhaustive_category_ids"):
        problems.add(
            [getattr(image, key) is None for image in file.images],
            f"{key!r} is missing",
            lambda row: name_image(file.images[row].id, file.file_names[row]),
            "LVIS's evaluation cannot tell without it which classes are annotated in an image; for a file in COCO's "
            "format use OVCocoAP50Metric",
        )
    problems.raise_if_any()


def _is_panoptic(annotations: Sequence[InstanceRecord]) -> bool:
    return all(annotation.bbox is None and annotation.category_id == ABSENT for annotation in annotations)


def _to_arrays(content: InstanceContent, names: list[str], problems: Problems) -> InstanceFile:
    annotations = content.annotations
    num = len(annotations)

    # Arrays straight from the records: lists of millions of Python numbers in between would double the memory.
    def column(key: str) -> np.ndarray:
        return np.fromiter(map(attrgetter(key), annotations), np.int64, num)

    ids, image_ids, category_ids, crowd = map(column, ("id", "image_id", "category_id", "iscrowd"))
    no_box: np.ndarray = np.fromiter((annotation.bbox is None for annotation in annotations), bool, num)
    empty = (0.0, 0.0, 0.0, 0.0)
    numbers = chain.from_iterable(annotation.bbox or empty for annotation in annotations)
    file = InstanceFile(
        source=problems.source,
        images=content.images,
        file_names=names,
        categories=content.categories,
        ids=ids,
        image_rows=positions_of(image_ids, np.array([image.id for image in content.images])),
        category_rows=positions_of(category_ids, np.array([category.id for category in content.categories])),
        boxes_xywh=np.fromiter(numbers, np.float64, 4 * num).reshape(num, 4),
        # A missing area is nan until it is filled in.
        areas=np.array([annotation.area for annotation in annotations], dtype=np.float64).reshape(num),
        is_crowd=crowd == 1,
        is_ignored=np.fromiter((bool(annotation.ignore) for annotation in annotations), bool, num),
        has_mask=np.zeros(num, dtype=bool),
        masks=[annotation.segmentation for annotation in annotations],
        filled={},
    )

    def name(row: int) -> str:
        own = f"number {row}" if ids[row] == ABSENT else ids[row]
        image = int(file.image_rows[row])
        if image < 0:
            return f"annotation {own}"
        return f"annotation {own} of {name_image(content.images[image].id, names[image])}"

    problems.add(ids == ABSENT, "'id' is missing", name)
    unique, counts = np.unique(ids[ids != ABSENT], return_counts=True)
    if (counts > 1).any():
        problems.add(
            np.isin(ids, unique[counts > 1]),
            "'id' is that of another annotation too",
            name,
            "Give every annotation of the file a number of its own",
        )
    for key, values, rows in (
        ("image_id", image_ids, file.image_rows),
        ("category_id", category_ids, file.category_rows),
    ):
        problems.add(values == ABSENT, f"{key!r} is missing", name)
        where = "images" if key == "image_id" else "categories"
        # One entry for all unknown values: the message counts them and shows the first.
        for row in np.flatnonzero((rows < 0) & (values != ABSENT))[:1]:
            unknown = (rows < 0) & (values != ABSENT)
            problems.add(unknown, f"{key!r} {values[row]} is not among the file's {where}", name)
    problems.add(no_box, "'bbox' is missing", name, "Give every annotation [x, y, width, height] in pixels")
    problems.add(~np.isin(crowd, (0, 1, ABSENT)), "'iscrowd' is neither 0 nor 1", name)
    if (crowd == ABSENT).any():
        file.filled["iscrowd"] = int((crowd == ABSENT).sum())
    return file


def _check_boxes(file: InstanceFile, max_overhang: float, problems: Problems) -> None:
    x, y, width, height = file.boxes_xywh.T
    sizes = np.array([(image.width, image.height) for image in file.images], dtype=np.float64)
    image_width, image_height = sizes[file.image_rows].T

    def name(row: int) -> str:
        image = file.images[int(file.image_rows[row])]
        box = [float(value) for value in file.boxes_xywh[row]]
        return f"{file.name(row)}, {box} (x, y, width, height) in {image.width} x {image.height} pixels"

    negative = (width < 0) | (height < 0)
    problems.add(negative, "'bbox' has a negative side", name)
    empty = ((width == 0) | (height == 0)) & ~negative
    # The box of a mask that is itself a line is rightly flat.
    for row in np.flatnonzero(empty):
        try:
            empty[row] = not is_flat(parse_mask(file.masks[row]), file.boxes_xywh[row].tolist())
        except ValueError:
            empty[row] = True
    problems.add(empty, "'bbox' has a side of 0", name, "Remove the annotation or give its box")
    # One box, or one of whole pixels, may be that small; not all of them.
    is_fraction = (file.boxes_xywh >= 0).all(axis=1) & (file.boxes_xywh <= 1).all(axis=1) & ~negative
    if len(is_fraction) and is_fraction.all() and (file.boxes_xywh % 1).any():
        text = "no 'bbox' of the file is larger than a pixel: they are fractions of the image, not pixels"
        problems.add(is_fraction, text, name, "Multiply them by the image's width and height")
    overhang = np.maximum.reduce([-x, -y, x + width - image_width, y + height - image_height])
    problems.add(
        (overhang > max_overhang) & ~negative,
        f"'bbox' reaches over the border of its image by more than {max_overhang:g} pixels",
        name,
        "Boxes are [x, y, width, height] in pixels, as are the image's sizes. Clip them or raise max_overhang",
    )


def _check_masks(file: InstanceFile, problems: Problems) -> MaskCheck:
    sizes = np.array([(image.height, image.width) for image in file.images], dtype=np.int64)
    heights, widths = sizes[file.image_rows].T
    check = check_masks(file.masks, heights, widths)
    file.has_mask = check.present
    by_kind: dict[str, list[int]] = {}
    for row, fault in check.faults.items():
        by_kind.setdefault(" ".join(fault.split()[:4]), []).append(row)
    for rows in by_kind.values():
        wrong = np.zeros(len(file.ids), dtype=bool)
        wrong[rows] = True
        problems.add(wrong, f"'segmentation' {check.faults[rows[0]]}", file.name)
    if check.partial.any():
        first = file.name(int(np.flatnonzero(check.partial)[0]))
        log_repair(
            file.source,
            f"{int(check.partial.sum())} masks have polygons of fewer than three points beside others, which mmdet "
            f"leaves out; the first: {first}",
        )
    return check


def _fill_areas(file: InstanceFile, check: MaskCheck, problems: Problems) -> None:
    problems.add(file.areas < 0, "'area' is negative", file.name)
    # An area of 0 is what some converters write for none; mmdet would leave the object out.
    missing = ~(file.areas > 0) & (file.boxes_xywh[:, 2:] > 0).all(axis=1)
    if not missing.any() or problems.any:
        return
    for row in np.flatnonzero(missing):
        mask = parse_mask(file.masks[row]) if check.present[row] else None
        image = file.images[int(file.image_rows[row])]
        area = mask_area(mask, image.height, image.width) if mask is not None else 0.0
        file.areas[row] = area or file.boxes_xywh[row, 2:].prod()
    file.areas = np.nan_to_num(file.areas)
    file.filled["area"] = int(missing.sum())
