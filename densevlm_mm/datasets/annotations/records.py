"""Records of COCO's annotation files, as they are parsed. Keys that nothing here reads are passed over."""

from typing import Annotated

from msgspec import Meta, Raw, Struct

# No file can have this number: a key that is absent stays apart from every value, at the cost of an int.
ABSENT = -(2**63)

Id = Annotated[int, Meta(ge=ABSENT + 1, le=2**63 - 1)]
Box = tuple[float, float, float, float]


class ImageRecord(Struct, gc=False):
    """An image."""

    id: Id = ABSENT
    file_name: str | None = None
    coco_url: str | None = None
    height: Id = ABSENT
    width: Id = ABSENT
    neg_category_ids: list[Id] | None = None
    not_exhaustive_category_ids: list[Id] | None = None


class CategoryRecord(Struct, gc=False):
    """A category."""

    id: Id = ABSENT
    name: str | None = None
    isthing: bool | int | None = None
    frequency: str | None = None


class InstanceRecord(Struct, gc=False):
    """An annotated object. Its mask stays JSON until somebody wants it: masks are nine tenths of a file."""

    id: Id = ABSENT
    image_id: Id = ABSENT
    category_id: Id = ABSENT
    bbox: Box | None = None
    area: float | None = None
    iscrowd: bool | Id = ABSENT
    ignore: bool | int | None = None
    segmentation: Raw = Raw(b"")


class SegmentRecord(Struct, gc=False):
    """A segment of a panoptic image."""

    id: Id = ABSENT
    category_id: Id = ABSENT
    bbox: Box | None = None
    iscrowd: bool | Id = ABSENT


class PanopticRecord(Struct, gc=False):
    """The segments of an image."""

    image_id: Id = ABSENT
    file_name: str | None = None
    segments_info: list[SegmentRecord] | None = None


class InstanceContent(Struct):
    """A file of instances."""

    images: list[ImageRecord]
    annotations: list[InstanceRecord]
    categories: list[CategoryRecord]


class PanopticContent(Struct):
    """A panoptic file."""

    images: list[ImageRecord]
    annotations: list[PanopticRecord]
    categories: list[CategoryRecord]
