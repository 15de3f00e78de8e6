"""The faults that files of instances have had, each with what its error must name."""

import copy
import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools import mask as mask_utils

from densevlm_mm.datasets.annotations.instances import read_instances

SQUARE = [[8, 20, 30, 20, 30, 40, 8, 40]]


def annotation(number: int, image: int, category: int, x: float, y: float, **extra: Any) -> dict:
    box = dict(bbox=[x, y, 22, 20], area=440, iscrowd=0)
    return dict(id=number, image_id=image, category_id=category) | box | extra


def content() -> dict:
    return dict(
        images=[dict(id=number, file_name=f"{number}.png", width=64, height=48) for number in (1, 2)],
        annotations=[
            annotation(1, 1, 5, 8, 20, segmentation=SQUARE),
            annotation(2, 1, 12, 36, 4),
            annotation(3, 2, 5, 12, 20),
            annotation(4, 2, 12, 40, 7),
        ],
        categories=[dict(id=5, name="car"), dict(id=12, name="ball")],
    )


def write(path: Path, data: Any) -> str:
    path.write_text(data if isinstance(data, str) else json.dumps(data))
    return str(path)


def test_columns_are_those_of_the_file(tmp_path: Path) -> None:
    data = content()
    data["annotations"][3]["iscrowd"] = 1
    data["annotations"][1]["ignore"] = True
    data["images"].reverse()
    file = read_instances(write(tmp_path / "a.json", data))
    assert [image.id for image in file.images] == file.image_ids.tolist() == [2, 1]
    assert file.file_names == ["2.png", "1.png"]
    assert file.image_rows.tolist() == [1, 1, 0, 0]
    assert file.category_ids[file.category_rows].tolist() == [5, 12, 5, 12]
    assert file.boxes_xywh[2].tolist() == [12, 20, 22, 20]
    assert file.areas.tolist() == [440] * 4
    assert file.is_crowd.tolist() == [False, False, False, True]
    assert file.is_ignored.tolist() == [False, True, False, False]
    assert file.has_mask.tolist() == [True, False, False, False]
    assert json.loads(bytes(file.masks[0])) == SQUARE
    assert file.filled == {}


def test_a_missing_area_is_that_of_the_mask_or_the_box(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """[missing_keys] no_area, [area_zero]: none, null and 0 are all missing."""
    data = content()
    triangle = [[8, 20, 30, 20, 30, 40]]
    mask = np.zeros((48, 64), np.uint8)
    mask[10:20, 5:12] = 1
    encoded = mask_utils.encode(np.asfortranarray(mask))
    run_lengths = dict(size=[48, 64], counts=encoded["counts"].decode())
    for row, (area, segmentation) in enumerate([(None, triangle), (0, run_lengths), (0.0, []), ("absent", None)]):
        data["annotations"][row].update(area=area, segmentation=segmentation)
    del data["annotations"][3]["area"], data["annotations"][2]["iscrowd"]
    file = read_instances(write(tmp_path / "a.json", data))
    expected = float(mask_utils.area(mask_utils.frPyObjects(triangle, 48, 64))[0])
    assert file.areas.tolist() == [expected, 70, 440, 440]
    assert abs(expected - 220) < 25
    assert file.filled == dict(iscrowd=1, area=4)


def test_what_was_filled_in_is_logged(tmp_path: Path) -> None:
    from mmengine.logging import MMLogger

    messages: list[str] = []
    handler = logging.Handler(logging.INFO)
    handler.emit = lambda record: messages.append(record.getMessage())  # type: ignore[method-assign]
    logger = MMLogger.get_current_instance()
    logger.addHandler(handler)
    data = content()
    for each in data["annotations"]:
        del each["area"], each["iscrowd"]
    try:
        read_instances(write(tmp_path / "a.json", data))
    finally:
        logger.removeHandler(handler)
    assert any("a.json: filled in 'area' of 4 of 4 annotations" in message for message in messages)
    assert any("a.json: filled in 'iscrowd' of 4 of 4 annotations" in message for message in messages)


def change(group: str, row: int, **values: Any) -> Callable[[dict], None]:
    return lambda data: data[group][row].update(values)


def drop(group: str, row: int, key: str) -> Callable[[dict], None]:
    return lambda data: data[group][row].pop(key)


FAULTS: dict[str, tuple[Callable[[dict], Any], str]] = {
    # [missing_keys]
    "no box": (drop("annotations", 3, "bbox"), r"annotation 4 of image 2 \(2\.png\): 'bbox' is missing"),
    "null box": (change("annotations", 3, bbox=None), "annotation 4 of image 2 .*'bbox' is missing"),
    "no height": (drop("images", 1, "height"), r"image 2 \(2\.png\): 'height' is missing"),
    "no width": (drop("images", 0, "width"), r"image 1 \(1\.png\): 'width' is missing"),
    "no file name": (drop("images", 0, "file_name"), "image 1: 'file_name' is missing"),
    "no image id": (drop("images", 0, "id"), r"image number 0 \(1\.png\): 'id' is missing"),
    "no id": (drop("annotations", 2, "id"), r"annotation number 2 of image 2 \(2\.png\): 'id' is missing"),
    "no image of annotation": (drop("annotations", 2, "image_id"), "annotation 3: 'image_id' is missing"),
    "no category": (drop("annotations", 2, "category_id"), "annotation 3 of image 2 .*'category_id' is missing"),
    "no name": (drop("categories", 1, "name"), "category 12: 'name' is missing"),
    # [annotation_ids] and other ids
    "ids twice": (
        change("annotations", 3, id=1),
        r"annotation 1 of image 1 .*\(the first of 2\): 'id' is that of another",
    ),
    "image twice": (change("images", 1, id=1), r"image 1 \(2\.png\): the same 'id' as that of another image"),
    "file twice": (change("images", 1, file_name="1.png"), r"image 2 \(1\.png\): the same 'file_name'"),
    "category twice": (change("categories", 1, id=5), r"category 5 \(ball\): the same 'id'"),
    "unknown image": (
        change("annotations", 0, image_id=9),
        "annotation 1: 'image_id' 9 is not among the file's images",
    ),
    "unknown category": (
        change("annotations", 0, category_id=9),
        r"annotation 1 of image 1 \(1\.png\): 'category_id' 9",
    ),
    "id as text": (
        change("annotations", 1, id="2"),
        r"'id' of annotation 2 of image 1 \(1\.png\) is \"2\", not a whole",
    ),
    "id as number": (change("images", 1, id=2.5), r"'id' of image 2\.5 \(2\.png\) is 2\.5, not a whole number"),
    "image id as text": (
        change("annotations", 1, image_id="1"),
        r"'image_id' of annotation 2 .* is \"1\", not a whole",
    ),
    "null category": (
        change("annotations", 1, category_id=None),
        "'category_id' of annotation 2 .* is null, not a whole",
    ),
    "huge id": (
        change("annotations", 1, id=2**70),
        "'id' of annotation 1180591620717411303424 .*, not a number of 64 bits",
    ),
    # [impossible_boxes]
    "fractions of the image": (
        lambda data: [each.update(bbox=[0.125, 0.25, 0.5, 0.5]) for each in data["annotations"]],
        "fractions of the image, not pixels",
    ),
    "negative side": (
        change("annotations", 0, bbox=[8, 20, -22, 20]),
        r"annotation 1 of image 1 .*\[8\.0, 20\.0, -22\.0",
    ),
    "no side": (change("annotations", 1, bbox=[8, 20, 0, 20]), "annotation 2 .*'bbox' has a side of 0"),
    "outside": (change("annotations", 1, bbox=[60, 20, 22, 20]), "annotation 2 .* 64 x 48 pixels: 'bbox' reaches over"),
    "left of it": (change("annotations", 1, bbox=[-9, 20, 22, 20]), "annotation 2 .*'bbox' reaches over the border"),
    "far away": (
        change("annotations", 1, bbox=[1e300, 0, 1e308, 1e308]),
        "annotation 2 .*'bbox' reaches over the border",
    ),
    "corners": (change("annotations", 1, bbox=[40, 20, 62, 40]), "annotation 2 .*'bbox' reaches over the border"),
    "three numbers": (
        change("annotations", 1, bbox=[1, 2, 3]),
        r"'bbox' of annotation 2 .* is \[1, 2, 3\], not a list of",
    ),
    "text": (change("annotations", 1, bbox="1 2 3 4"), "'bbox' of annotation 2 .* is \"1 2 3 4\", not a list"),
    "text inside": (change("annotations", 1, bbox=[1, 2, "3", 4]), "'bbox' of annotation 2 .*, not a number"),
    "infinite": (
        change("annotations", 1, bbox=[0, 0, float("inf"), 4]),
        r"'bbox' of annotation 2 of image 1 \(1\.png\)",
    ),
    "nan": (change("annotations", 1, bbox=[float("nan")] * 4), r"'bbox' of annotation 2 .* \[NaN, NaN, NaN, NaN\]"),
    # areas, crowds, sizes
    "nan area": (change("annotations", 1, area=float("nan")), r"'area' of annotation 2 of image 1 \(1\.png\) is NaN"),
    "negative area": (change("annotations", 1, area=-3), "annotation 2 .*'area' is negative"),
    "area as text": (change("annotations", 1, area="440"), "'area' of annotation 2 .* is \"440\", not a number"),
    "crowd of two": (change("annotations", 1, iscrowd=2), "annotation 2 .*'iscrowd' is neither 0 nor 1"),
    "crowd as text": (change("annotations", 1, iscrowd="no"), "'iscrowd' of annotation 2 .* is \"no\""),
    "no pixels": (change("images", 0, height=0), r"image 1 \(1\.png\): 'height' is not positive"),
    "size as text": (change("images", 0, width="64"), "'width' of image 1 .* is \"64\", not a whole number"),
    # masks
    "two points": (
        change("annotations", 1, segmentation=[[1, 2, 3, 4]]),
        r"'segmentation' has no polygon of three points",
    ),
    "odd polygon": (
        change("annotations", 1, segmentation=[[1, 2, 3, 4, 5, 6, 7]]),
        "annotation 2 .* a polygon of 7 numbers",
    ),
    "flat list": (
        change("annotations", 1, segmentation=[1, 2, 3, 4, 5, 6]),
        "annotation 2 .* neither a list of polygons",
    ),
    "text as mask": (change("annotations", 1, segmentation="x"), "annotation 2 .* neither a list of polygons"),
    "far polygon": (change("annotations", 1, segmentation=[[1, 2, 1e30, 4, 5, 6]]), "a polygon far outside the image"),
    "other size": (
        change("annotations", 1, segmentation=dict(size=[64, 48], counts=[0, 3072])),
        r"annotation 2 .* of size \[64, 48\], but its image is \[height, width\] = \[48, 64\]",
    ),
    "too short": (
        change("annotations", 1, segmentation=dict(size=[48, 64], counts=[5, 7])),
        "annotation 2 .* cover 12 pixels, but its image has 48 x 64 = 3072",
    ),
    "compressed too short": (
        change("annotations", 1, segmentation=dict(size=[48, 64], counts="57")),
        "annotation 2 .* cover 12 pixels",
    ),
    "no run lengths": (
        change("annotations", 1, segmentation=dict(size=[48, 64], counts="zzé")),
        "annotation 2 .* cannot be decoded",
    ),
    # what is no such file
    "no image": (lambda data: data.update(images=[]), "'images' lists no image"),
    "no categories": (lambda data: data.update(categories=[]), "'categories' lists no category"),
    "no list": (lambda data: data.pop("annotations"), r"has no 'annotations' list, only \['categories', 'images'\]"),
    "captions": (
        lambda data: data.update(annotations=[dict(id=1, image_id=1, caption="a car")]),
        "neither 'bbox' nor 'category_id'.*one of captions",
    ),
    # paths
    "up": (change("images", 0, file_name="../1.png"), r"image 1 \(\.\./1\.png\): 'file_name' leads out of its folder"),
    "absolute": (
        change("images", 0, file_name="/etc/passwd"),
        r"image 1 \(/etc/passwd\): 'file_name' is an absolute path",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_named_with_file_record_and_key(tmp_path: Path, fault: str) -> None:
    spoil, message = FAULTS[fault]
    data = content()
    spoil(data)
    with pytest.raises(ValueError, match=message) as error:
        read_instances(write(tmp_path / "a.json", data))
    assert str(tmp_path / "a.json") in str(error.value)


def test_all_kinds_of_faults_are_said_at_once(tmp_path: Path) -> None:
    data = content()
    for spoil in ("no box", "unknown category", "ids twice"):
        FAULTS[spoil][0](data)
    with pytest.raises(ValueError, match="has 3 faults") as error:
        read_instances(write(tmp_path / "a.json", data))
    assert str(error.value).count("\n  - ") == 3


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (json.dumps([annotation(1, 1, 5, 0, 0)]), "a list of 1 records .results of a detector"),
        ("", "is empty"),
        ("{", "not valid JSON"),
        ("[" * 100_000, "not what it should be"),
        ("<html>", "it is a web page"),
        ("version https://git-lfs.github.com/spec/v1", "pointer of Git LFS"),
        ("3", "'images'|object"),
        ("null", "object"),
    ],
)
def test_what_is_no_annotation_file_is_named(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message) as error:
        read_instances(write(tmp_path / "a.json", text))
    assert str(tmp_path / "a.json") in str(error.value)


def test_encodings(tmp_path: Path) -> None:
    text = json.dumps(content())
    (tmp_path / "a.json").write_bytes(text.encode("utf-8-sig"))
    assert len(read_instances(str(tmp_path / "a.json")).ids) == 4
    for encoding in ("utf-16", "utf-16-le"):
        (tmp_path / "a.json").write_bytes(text.encode(encoding))
        with pytest.raises(ValueError, match=r"a\.json is not valid JSON: it is UTF-16.*UTF-8"):
            read_instances(str(tmp_path / "a.json"))


def test_what_official_files_hold_passes(tmp_path: Path) -> None:
    """COCO's boxes reach over the border by less than a pixel, and annotation 918 is a line."""
    data = content()
    line = [[29.65, 38.33, 29.65, 38.33, 30.68, 38.33, 30.68, 38.33]]
    data["annotations"][0].update(bbox=[-0.4, 20, 65, 28.7])
    data["annotations"].append(annotation(918, 1, 5, 0, 0, bbox=[29.65, 38.33, 1.03, 0.0], area=0.0, segmentation=line))
    data["annotations"].append(annotation(919, 1, 5, 0, 0, segmentation=[SQUARE[0], [1, 2, 3, 4]]))
    file = read_instances(write(tmp_path / "a.json", data))
    assert file.areas.tolist()[-2:] == [0, 440]
    far = copy.deepcopy(data)
    far["annotations"][4]["segmentation"] = SQUARE  # no line: then a box without height is none either
    with pytest.raises(ValueError, match=r"annotation 918 .*'bbox' has a side of 0"):
        read_instances(write(tmp_path / "a.json", far))


def test_the_overhang_that_is_allowed_can_be_set(tmp_path: Path) -> None:
    data = content()
    data["annotations"][0]["bbox"] = [-9, 20, 22, 20]
    path = write(tmp_path / "a.json", data)
    assert read_instances(path, max_overhang=9).boxes_xywh[0, 0] == -9
    with pytest.raises(ValueError, match="by more than 8 pixels"):
        read_instances(path, max_overhang=8)


def test_lvis_names_come_from_the_url_or_else_from_file_name(tmp_path: Path) -> None:
    """[lvis_without_coco_url]"""
    data = content()
    data["images"][0]["coco_url"] = "http://images.cocodataset.org/val2017/000000000001.jpg"
    file = read_instances(write(tmp_path / "a.json", data), lvis=True)
    assert file.file_names == ["val2017/000000000001.jpg", "2.png"]
    del data["annotations"][0]["iscrowd"]  # the format has none
    assert read_instances(write(tmp_path / "a.json", data), lvis=True).filled == {}
    data["images"][0]["coco_url"] = "http://images.cocodataset.org/../passwd"
    with pytest.raises(ValueError, match="leads out of its folder"):
        read_instances(write(tmp_path / "a.json", data), lvis=True)


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"instance annotation file .*none\.json does not exist"):
        read_instances(str(tmp_path / "none.json"))
    with pytest.raises(ValueError, match="is a folder"):
        read_instances(str(tmp_path))
