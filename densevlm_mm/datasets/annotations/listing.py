"""Checks that all annotation files share: their lists of images and of categories."""

from collections.abc import Hashable, Iterable, Sequence

import numpy as np

from densevlm_mm.datasets.annotations.image_names import unsafe_reason
from densevlm_mm.datasets.annotations.json_files import name_image
from densevlm_mm.datasets.annotations.problems import Problems
from densevlm_mm.datasets.annotations.records import ABSENT, CategoryRecord, ImageRecord


def repeated(values: Iterable[Hashable]) -> np.ndarray:
    """Flags of the values that stand in a list before."""
    seen: set[Hashable] = set()
    flags = []
    for value in values:
        flags.append(value in seen)
        seen.add(value)
    return np.array(flags, dtype=bool)


def lvis_file_name(image: ImageRecord) -> str | None:
    """File of an LVIS image: the last two parts of its ``coco_url``, such as train2017/000000000009.jpg.

    Own data has no ``coco_url``; then it is the ``file_name``.
    """
    return "/".join(image.coco_url.split("/")[-2:]) if image.coco_url else image.file_name


def check_images(
    images: Sequence[ImageRecord], names: Sequence[str | None], problems: Problems, allow_any_path: bool = False
) -> None:
    """Check ids, file names and sizes of images.

    Args:
        images: The records.
        names: File name of each.
        problems: Takes down what is wrong.
        allow_any_path: Leave it to the data set whether names may lead out of the folder of the images.
    """
    if not images:
        problems.note("'images' lists no image")
        return

    def name(row: int) -> str:
        known = images[row].id
        return name_image(f"number {row}" if known == ABSENT else known, names[row])

    ids = np.array([image.id for image in images])
    problems.add(ids == ABSENT, "'id' is missing", name)
    problems.add((ids != ABSENT) & repeated(ids.tolist()), "the same 'id' as that of another image", name)
    missing = np.array([not file_name for file_name in names])
    problems.add(missing, "'file_name' is missing", name, "Give every image its path below data_prefix")
    again = repeated(names) & ~missing
    problems.add(again, "the same 'file_name' as that of another image", name, "Give an image one record")
    if not allow_any_path:
        unsafe = np.array([bool(file_name and unsafe_reason(file_name)) for file_name in names])
        for row in np.flatnonzero(unsafe)[:1]:
            problems.add(unsafe, f"'file_name' {unsafe_reason(str(names[row]))}", name, _ALLOW)
    for key in ("height", "width"):
        sizes = np.array([getattr(image, key) for image in images])
        problems.add(sizes == ABSENT, f"{key!r} is missing", name, "Give every image its size in pixels")
        problems.add((sizes != ABSENT) & (sizes < 1), f"{key!r} is not positive", name)


_ALLOW = "Write it relative to data_prefix, or name folders that files may come from in the data set's allowed_roots"


def check_categories(categories: Sequence[CategoryRecord], problems: Problems) -> None:
    """Check ids and names of categories.

    Args:
        categories: The records.
        problems: Takes down what is wrong.
    """
    if not categories:
        problems.note("'categories' lists no category")
        return
    ids = np.array([category.id for category in categories])

    def name(row: int) -> str:
        known = f"number {row}" if ids[row] == ABSENT else ids[row]
        return f"category {known} ({categories[row].name})" if categories[row].name else f"category {known}"

    problems.add(ids == ABSENT, "'id' is missing", name)
    problems.add((ids != ABSENT) & repeated(ids.tolist()), "the same 'id' as that of another category", name)
    nameless = np.array([not (category.name or "").strip() for category in categories])
    problems.add(nameless, "'name' is missing", name)


def positions_of(values: np.ndarray, ids: np.ndarray) -> np.ndarray:
    """Position of each value among ids; -1 where it is none of them.

    Args:
        values: (N,) int64.
        ids: (M,) int64.

    Returns:
        (N,) int64.
    """
    if not len(ids):
        return np.full(len(values), -1)
    order = np.argsort(ids, kind="stable")
    found = np.minimum(np.searchsorted(ids[order], values), len(ids) - 1)
    return np.where(ids[order][found] == values, order[found], -1)
