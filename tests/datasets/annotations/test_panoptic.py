"""The faults that panoptic files have had, each with what its error must name."""

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mmengine.logging import MMLogger

from densevlm_mm.datasets.annotations.panoptic import read_panoptic


def content() -> dict:
    def segments() -> list[dict]:
        return [
            dict(id=7, category_id=1, bbox=[8, 20, 22, 20], area=440, iscrowd=0),
            dict(id=9, category_id=2, bbox=[0, 0, 64, 48], area=2600, iscrowd=0),
        ]

    return dict(
        images=[dict(id=number, file_name=f"{number}.jpg", width=64, height=48) for number in (1, 2, 3)],
        annotations=[dict(image_id=number, file_name=f"{number}.png", segments_info=segments()) for number in (2, 1)],
        categories=[dict(id=1, name="cow", isthing=1), dict(id=2, name="sky", isthing=0)],
    )


def write(path: Path, data: Any) -> str:
    path.write_text(json.dumps(data))
    return str(path)


def segment(row: int, number: int, **values: Any) -> Callable[[dict], Any]:
    return lambda data: data["annotations"][row]["segments_info"][number].update(values)


def test_annotations_are_found_by_image(tmp_path: Path) -> None:
    file = read_panoptic(write(tmp_path / "p.json", content()))
    assert sorted(file.annotations) == [1, 2]
    assert file.annotations[1].file_name == "1.png"
    assert [(each.id, each.category_id) for each in file.annotations[2].segments_info or ()] == [(7, 1), (9, 2)]


def test_boxes_that_are_not_read_may_be_missing_or_wrong(tmp_path: Path) -> None:
    """[panoptic_without_bbox]: stuff's is not read, a thing's is that of its pixels."""
    data = content()
    del data["annotations"][0]["segments_info"][0]["bbox"], data["annotations"][0]["segments_info"][1]["bbox"]
    data["annotations"][1]["segments_info"][0].update(iscrowd=1, bbox=[0, 0, 0, 0])
    data["annotations"][1]["segments_info"][1].update(bbox=[-9, 0, 900, 1])
    messages: list[str] = []
    handler = logging.Handler(logging.INFO)
    handler.emit = lambda record: messages.append(record.getMessage())  # type: ignore[method-assign]
    logger = MMLogger.get_current_instance()
    logger.addHandler(handler)
    try:
        read_panoptic(write(tmp_path / "p.json", data))
    finally:
        logger.removeHandler(handler)
    assert [message for message in messages if "1 segments of things have no 'bbox'" in message]
    assert [message for message in messages if "segment 7 of image 2 (2.jpg)" in message]


FAULTS: dict[str, tuple[Callable[[dict], Any], str]] = {
    "ids twice": (segment(1, 1, id=7), r"segment 7 of image 1 \(1\.jpg\): the same 'id' as that of another segment"),
    "no id": (
        lambda data: data["annotations"][0]["segments_info"][1].pop("id"),
        r"segment without id of image 2 \(2\.jpg\): 'id' is missing",
    ),
    "id 0": (segment(0, 1, id=0), "segment 0 of image 2 .*'id' is not among 1 to 16777215"),
    "id too large": (segment(0, 1, id=2**24), "segment 16777216 of image 2 "),
    "id as text": (segment(0, 1, id="9"), r"'segments_info' of annotation number 0 of image 2 \(2\.jpg\)"),
    "unknown category": (
        segment(0, 1, category_id=8),
        "segment 9 of image 2 .*'category_id' 8 is not among the file's",
    ),
    "no category": (
        lambda data: data["annotations"][0]["segments_info"][1].pop("category_id"),
        "segment 9 of image 2 .*'category_id' is missing",
    ),
    "flat box": (segment(0, 0, bbox=[8, 20, 22, 0]), "segment 7 of image 2 .*'bbox' has a side that is not positive"),
    "box outside": (segment(0, 0, bbox=[60, 20, 22, 9]), r"segment 7 of image 2 .*\[60\.0, 20\.0.*'bbox' reaches over"),
    "crowd of two": (segment(0, 0, iscrowd=2), "segment 7 of image 2 .*'iscrowd' is neither 0 nor 1"),
    "image twice": (
        lambda data: data["annotations"][0].update(image_id=1),
        r"the annotation of image 1 \(1\.jpg\): a second annotation of an image",
    ),
    "unknown image": (
        lambda data: data["annotations"][0].update(image_id=8),
        "annotation number 0: 'image_id' 8 is not",
    ),
    "no png": (lambda data: data["annotations"][0].pop("file_name"), "the annotation of image 2 .*'file_name'"),
    "png elsewhere": (
        lambda data: data["annotations"][0].update(file_name="../../2.png"),
        r"the annotation of image 2 .*'\.\./\.\./2\.png' leads out of its folder",
    ),
    "image elsewhere": (lambda data: data["images"][0].update(file_name="/1.jpg"), "image 1 .*is an absolute path"),
    "no segments": (
        lambda data: data["annotations"][0].pop("segments_info"),
        "annotation of image 2 .*no 'segments_info'",
    ),
    "no flag": (lambda data: data["categories"][1].pop("isthing"), r"category 2 \(sky\): 'isthing' is missing"),
    "no size": (lambda data: data["images"][1].pop("height"), r"image 2 \(2\.jpg\): 'height' is missing"),
    "instances": (
        lambda data: data.update(annotations=[dict(id=1, image_id=1, category_id=1, bbox=[0, 0, 9, 9])]),
        "no 'segments_info'; is this the instances file",
    ),
    "results": (lambda data: data.update(images={}), "'images' of the file|'images'"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_named_with_file_record_and_key(tmp_path: Path, fault: str) -> None:
    spoil, message = FAULTS[fault]
    data = content()
    spoil(data)
    with pytest.raises(ValueError, match=message) as error:
        read_panoptic(write(tmp_path / "p.json", data))
    assert str(tmp_path / "p.json") in str(error.value)
