"""COCO instances and LabelMe files to the panoptic format that region classification reads."""

import difflib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from pycocotools import mask as mask_utils

from densevlm_mm.datasets.annotations.instances import InstanceFile, read_instances
from densevlm_mm.datasets.annotations.json_files import read_json
from densevlm_mm.datasets.annotations.masks import parse_mask, run_lengths
from densevlm_mm.files import atomic_write, write_text


@dataclass
class Shape:
    """An annotated object, or one of its pieces.

    Args:
        name: Its class.
        mask: (H, W) bool.
        iscrowd: Whether it is a group of objects, which is not scored.
        group: Pieces of a name with one group are one object; None for an object of its own.
    """

    name: str
    mask: np.ndarray
    iscrowd: bool = False
    group: Any = None


@dataclass
class AnnotatedImage:
    """An image and its shapes.

    Args:
        file_name: Below the folder of the images.
        height: In pixels.
        width: In pixels.
        shapes: In any order.
    """

    file_name: str
    height: int
    width: int
    shapes: list[Shape] = field(default_factory=list)


def read_coco(path: str | Path) -> Iterator[AnnotatedImage]:
    """Read a file of instances in COCO's format; an object without a mask is its box.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is malformed, see :func:`read_instances`.
    """
    file = read_instances(str(path), max_overhang=float("inf"))
    order = np.argsort(file.image_rows, kind="stable")
    of_image = np.split(order, np.searchsorted(file.image_rows[order], np.arange(1, len(file.images))))
    for rows, image, name in zip(of_image, file.images, file.file_names, strict=True):
        found = AnnotatedImage(name, image.height, image.width)
        for index in rows:
            category = file.categories[int(file.category_rows[index])].name
            mask = _coco_mask(file, int(index), image.height, image.width)
            found.shapes.append(Shape(str(category), mask, bool(file.is_crowd[index])))
        yield found


def read_labelme(folder: str | Path) -> Iterator[AnnotatedImage]:
    """Read the LabelMe files (``.json``) of a folder and its subfolders: polygons and rectangles.

    An image lies where ``imagePath`` of its file says, which has to be in the folder.

    Raises:
        FileNotFoundError: If the folder has none.
        ValueError: If a file is none of LabelMe's, or a shape is neither polygon nor rectangle.
    """
    folder = Path(folder)
    paths = sorted(folder.rglob("*.json"))
    if not paths:
        raise FileNotFoundError(f"{folder} has no LabelMe files (*.json)")
    for path in paths:
        content = read_json(str(path), "LabelMe file")
        keys = ("imagePath", "imageHeight", "imageWidth", "shapes")
        if not isinstance(content, dict) or any(key not in content for key in keys):
            raise ValueError(f"{path} is no LabelMe file: it needs {', '.join(keys)}. Put other files elsewhere")
        image = (path.parent / content["imagePath"].replace("\\", "/")).resolve()
        if not image.is_relative_to(folder.resolve()):
            raise ValueError(f"{path}: the image {content['imagePath']!r} is not below {folder}. Put them together")
        height, width = content["imageHeight"], content["imageWidth"]
        shapes = [_labelme_shape(shape, height, width, path, i) for i, shape in enumerate(content["shapes"])]
        yield AnnotatedImage(image.relative_to(folder.resolve()).as_posix(), height, width, shapes)


def write_panoptic(images: Iterable[AnnotatedImage], out: str | Path, stuff: Sequence[str] = ()) -> str:
    """Write ``panoptic.json``, ``panoptic/*.png`` and ``vocabulary.json``.

    A pixel of several objects belongs to the smallest. The shapes of a stuff class in an image are one region.

    Args:
        images: The annotations.
        out: The folder.
        stuff: Names of the classes that are stuff; the others are things.

    Returns:
        What was written, and what could not be.

    Raises:
        ValueError: If a name of ``stuff`` has no object, or there is none at all.
    """
    out = Path(out)
    numbers: dict[str, int] = {}  # of the classes
    listed: list[dict] = []
    annotations: list[dict] = []
    num_hidden = num_regions = 0
    for image_id, image in enumerate(images, start=1):
        shapes = _joined(image.shapes, stuff)
        ids, segments = _paint(shapes, image, numbers)
        num_hidden += len(shapes) - len(segments)
        num_regions += len(segments)
        name = f"{image.file_name}.png"  # a.jpg and a.png may both be there
        _write_ids(out / "panoptic" / name, ids)
        listed.append(dict(id=image_id, file_name=image.file_name, height=image.height, width=image.width))
        annotations.append(dict(image_id=image_id, file_name=name, segments_info=segments))
    _check_stuff(stuff, list(numbers))
    classes = [dict(name=name, isthing=int(name not in stuff)) for name in numbers]
    categories = [dict(each, id=numbers[str(each["name"])]) for each in classes]
    content = dict(images=listed, annotations=annotations, categories=categories)
    write_text(out / "panoptic.json", json.dumps(content))
    write_text(out / "vocabulary.json", json.dumps(dict(name=out.name, classes=classes), indent=1, ensure_ascii=False))
    lost = f"; {num_hidden} objects lie wholly under others and were left out" if num_hidden else ""
    return f"{num_regions} regions of {len(classes)} classes in {len(listed)} images{lost}"


def _paint(shapes: list[Shape], image: AnnotatedImage, numbers: dict[str, int]) -> tuple[np.ndarray, list[dict]]:
    """Segment ids (H, W), and the segments that have pixels; adds the classes to ``numbers``."""
    ids = np.zeros((image.height, image.width), np.int64)
    shapes = sorted(shapes, key=lambda shape: -int(shape.mask.sum()))
    for segment, shape in enumerate(shapes, start=1):
        ids[shape.mask] = segment
    areas = np.bincount(ids.ravel(), minlength=len(shapes) + 1)
    segments = [
        dict(
            id=segment,
            category_id=numbers.setdefault(shape.name, len(numbers) + 1),
            bbox=_box_xywh(shape.mask),
            area=int(areas[segment]),
            iscrowd=int(shape.iscrowd),
        )
        for segment, shape in enumerate(shapes, start=1)
        if areas[segment]
    ]
    return ids, segments


def _coco_mask(file: InstanceFile, index: int, height: int, width: int) -> np.ndarray:
    mask = parse_mask(file.masks[index]) if file.has_mask[index] else None
    if mask is not None:
        return mask_utils.decode(run_lengths(mask, height, width)).astype(bool)
    x, y, w, h = file.boxes_xywh[index].tolist()
    return _polygon_mask([[x, y], [x + w, y], [x + w, y + h], [x, y + h]], height, width)


def _labelme_shape(shape: dict, height: int, width: int, path: Path, number: int) -> Shape:
    kind, points = shape.get("shape_type", "polygon"), shape.get("points") or []
    where = f"{path}: shape {number} ({shape.get('label')!r})"
    if kind == "rectangle" and len(points) == 2:
        (left, top), (right, bottom) = points
        points = [[left, top], [right, top], [right, bottom], [left, bottom]]
    elif kind != "polygon" or len(points) < 3:
        raise ValueError(f"{where} is a {kind} of {len(points)} points; draw a polygon or a rectangle, or remove it")
    if not isinstance(shape.get("label"), str):
        raise ValueError(f"{where} has no label")
    return Shape(shape["label"], _polygon_mask(points, height, width), group=shape.get("group_id"))


def _polygon_mask(points: Sequence[Sequence[float]], height: int, width: int) -> np.ndarray:
    corners = np.clip(np.asarray(points, dtype=np.float64), 0, [width, height]).ravel().tolist()
    return mask_utils.decode(mask_utils.merge(mask_utils.frPyObjects([corners], height, width))).astype(bool)


def _joined(shapes: Sequence[Shape], stuff: Sequence[str]) -> list[Shape]:
    """Pieces of one object, and all of a stuff class, as one shape."""
    joined: dict[Any, Shape] = {}
    for number, shape in enumerate(shapes):
        is_alone = shape.group is None and shape.name not in stuff
        key: Any = number if is_alone else (shape.name, None if shape.name in stuff else shape.group)
        if key in joined:
            joined[key].mask = joined[key].mask | shape.mask
        else:
            joined[key] = Shape(shape.name, shape.mask, shape.iscrowd)
    return list(joined.values())


def _check_stuff(stuff: Sequence[str], names: Sequence[str]) -> None:
    if not names:
        raise ValueError("there is no annotated object")
    for name in stuff:
        if name not in names:
            close = difflib.get_close_matches(name, names, n=1)
            hint = f"did you mean {close[0]!r}?" if close else f"there are {', '.join(names[:20])}."
            raise ValueError(f"stuff class {name!r} is not annotated; {hint}")


def _box_xywh(mask: np.ndarray) -> list[int]:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    left, top, right, bottom = map(int, (columns[0], rows[0], columns[-1], rows[-1]))
    return [left, top, right - left + 1, bottom - top + 1]


def _write_ids(path: Path, ids: np.ndarray) -> None:
    png = np.stack([ids % 256, ids // 256 % 256, ids // 65536], axis=-1).astype(np.uint8)
    with atomic_write(path) as partial:
        Image.fromarray(png).save(partial, "PNG")
