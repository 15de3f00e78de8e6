"""Panoptic annotation files, checked once."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from densevlm_mm.datasets.annotations.image_names import unsafe_reason
from densevlm_mm.datasets.annotations.instances import MAX_OVERHANG
from densevlm_mm.datasets.annotations.json_files import name_image, read_json
from densevlm_mm.datasets.annotations.listing import check_categories, check_images, positions_of, repeated
from densevlm_mm.datasets.annotations.problems import Problems, log_repair
from densevlm_mm.datasets.annotations.records import (
    ABSENT,
    CategoryRecord,
    ImageRecord,
    PanopticContent,
    PanopticRecord,
    SegmentRecord,
)

_LARGEST_ID = 2**24 - 1  # what three channels of a PNG can say


@dataclass(eq=False)
class PanopticFile:
    """A checked panoptic file.

    Attributes:
        source: What and where the file is.
        images: Records of the images.
        annotations: By image id, its file of segments and their records. Not every image has one.
        categories: Records of the categories, all with ``isthing``.
    """

    source: str
    images: list[ImageRecord]
    annotations: dict[int, PanopticRecord]
    categories: list[CategoryRecord]


def read_panoptic(
    path: str, max_overhang: float = MAX_OVERHANG, allow_any_path: bool = False, backend_args: dict | None = None
) -> PanopticFile:
    """Read and check a panoptic file.

    The boxes of things are read, so they must be possible where there are any; a thing without ``bbox`` gets that of
    its pixels when its image is loaded, which is logged. The boxes of stuff and of crowds are not read.

    Args:
        path: Path or URI.
        max_overhang: Pixels that a box may reach over the border of its image.
        allow_any_path: Leave it to the caller whether file names may lead out of the folders.
        backend_args: Arguments of mmengine's file backend.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no such file, or holds something impossible; names every kind of fault with the first
            record that has it.
    """
    content = read_json(path, "panoptic annotation file", PanopticContent, backend_args)
    problems = Problems(f"panoptic annotation file {path}")
    if content.annotations and all(annotation.segments_info is None for annotation in content.annotations):
        problems.note("its annotations have no 'segments_info'; is this the instances file? The panoptic one is needed")
        problems.raise_if_any()
    names = [image.file_name for image in content.images]
    check_images(content.images, names, problems, allow_any_path)
    check_categories(content.categories, problems)
    problems.add(
        [category.isthing not in (0, 1) for category in content.categories],
        "'isthing' is missing or neither 0 nor 1",
        lambda row: f"category {content.categories[row].id} ({content.categories[row].name})",
    )
    problems.raise_if_any()
    checker = _Checker(content, problems)
    checker.check_annotations(allow_any_path)
    checker.check_segments(max_overhang)
    problems.raise_if_any()
    annotations = {annotation.image_id: annotation for annotation in content.annotations}
    return PanopticFile(problems.source, content.images, annotations, content.categories)


class _Checker:
    """Checks the annotations of a file whose images and categories are in order."""

    def __init__(self, content: PanopticContent, problems: Problems) -> None:
        self.content = content
        self.problems = problems
        image_ids = np.array([annotation.image_id for annotation in content.annotations], dtype=np.int64)
        self.image_ids = image_ids
        self.image_rows = positions_of(image_ids, np.array([image.id for image in content.images], dtype=np.int64))

    def name_annotation(self, row: int) -> str:
        if self.image_rows[row] < 0:
            return f"annotation number {row}"
        image = self.content.images[int(self.image_rows[row])]
        return f"the annotation of {name_image(image.id, image.file_name)}"

    def check_annotations(self, allow_any_path: bool) -> None:
        annotations, name = self.content.annotations, self.name_annotation
        self.problems.add(self.image_ids == ABSENT, "'image_id' is missing", name)
        known = self.image_ids != ABSENT
        unknown = known & (self.image_rows < 0)
        for row in np.flatnonzero(unknown)[:1]:
            text = f"'image_id' {self.image_ids[row]} is not among the file's images"
            self.problems.add(unknown, text, name)
        again = known & repeated(self.image_ids.tolist())
        self.problems.add(again, "a second annotation of an image", name, "An image has one, with all its segments")
        self.problems.add([annotation.segments_info is None for annotation in annotations], "no 'segments_info'", name)
        files = [annotation.file_name for annotation in annotations]
        self.problems.add([not file for file in files], "'file_name' (of the PNG) is missing", name)
        if not allow_any_path:
            unsafe = [bool(file) and unsafe_reason(str(file)) is not None for file in files]
            for row in np.flatnonzero(unsafe)[:1]:
                text = f"'file_name' {files[row]!r} {unsafe_reason(str(files[row]))}"
                self.problems.add(unsafe, text, name, "Write it relative to data_prefix, or see allowed_roots")

    def check_segments(self, max_overhang: float) -> None:
        segments = list(self._segments())
        rows = [row for row, _ in segments]
        records = [record for _, record in segments]
        ids = np.array([record.id for record in records], dtype=np.int64)
        categories = np.array([record.category_id for record in records], dtype=np.int64)
        category_rows = positions_of(categories, np.array([c.id for c in self.content.categories], dtype=np.int64))
        crowd = np.array([record.iscrowd for record in records], dtype=np.int64)

        def name(index: int) -> str:
            own = "without id" if ids[index] == ABSENT else ids[index]
            image = self.content.images[int(self.image_rows[rows[index]])]
            return f"segment {own} of {name_image(image.id, image.file_name)}"

        add = self.problems.add
        add(ids == ABSENT, "'id' is missing", name)
        impossible = (ids != ABSENT) & ((ids < 1) | (ids > _LARGEST_ID))
        add(impossible, f"'id' is not among 1 to {_LARGEST_ID}, which a PNG can hold (0 is no segment)", name)
        add(
            (ids != ABSENT) & repeated(zip(rows, ids.tolist(), strict=True)),
            "the same 'id' as that of another segment of the image",
            name,
            "Both would be scored on the pixels of both: give each a number (colour) of its own in JSON and PNG",
        )
        add(categories == ABSENT, "'category_id' is missing", name)
        unknown = (categories != ABSENT) & (category_rows < 0)
        for index in np.flatnonzero(unknown)[:1]:
            add(unknown, f"'category_id' {categories[index]} is not among the file's categories", name)
        add(~np.isin(crowd, (0, 1, ABSENT)), "'iscrowd' is neither 0 nor 1", name)
        is_thing = np.array([bool(category.isthing) for category in self.content.categories])
        with_box = (category_rows >= 0) & is_thing[category_rows] & (crowd != 1)
        self._check_boxes(records, np.array(rows, dtype=np.int64), with_box, max_overhang, name)

    def _segments(self) -> Iterator[tuple[int, SegmentRecord]]:
        for row, annotation in enumerate(self.content.annotations):
            if self.image_rows[row] >= 0:
                for segment in annotation.segments_info or ():
                    yield row, segment

    def _check_boxes(
        self,
        records: Sequence[SegmentRecord],
        rows: np.ndarray,
        with_box: np.ndarray,
        max_overhang: float,
        name: Callable[[int], str],
    ) -> None:
        missing = with_box & np.array([record.bbox is None for record in records], dtype=bool)
        if missing.any():
            text = f"{int(missing.sum())} segments of things have no 'bbox'; the extent of their pixels is taken"
            log_repair(self.problems.source, f"{text}. The first: {name(int(np.flatnonzero(missing)[0]))}")
        given = np.flatnonzero(with_box & ~missing).tolist()
        boxes = np.array([records[index].bbox for index in given], dtype=np.float64).reshape(-1, 4)
        images = [self.content.images[int(row)] for row in self.image_rows[rows[given]]]
        sizes = np.array([(image.width, image.height) for image in images], dtype=np.float64).reshape(-1, 2)
        overhang = np.maximum(-boxes[:, :2], boxes[:, :2] + boxes[:, 2:] - sizes).max(axis=1, initial=-np.inf)

        def with_values(index: int) -> str:
            image = images[index]
            return f"{name(given[index])}, {boxes[index].tolist()} in {image.width} x {image.height} pixels"

        empty = np.any(boxes[:, 2:] <= 0, axis=1)
        self.problems.add(empty, "'bbox' has a side that is not positive", with_values)
        outside = (overhang > max_overhang) & ~empty
        text = f"'bbox' reaches over the border of its image by more than {max_overhang:g} pixels"
        self.problems.add(outside, text, with_values, "A box is [x, y, width, height] in pixels")
