"""Annotations of one's own become panoptic files that our data set reads."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from densevlm_mm.datasets import PanopticRegionDataset
from densevlm_mm.datasets.converters.region_annotations import read_coco, read_labelme, write_panoptic

SKY = [[0, 0], [40, 0], [40, 12], [0, 12]]
CAR = [[4, 10], [24, 10], [24, 22], [4, 22]]
DOOR = [[6, 12], [10, 20]]


def labelme(folder: Path, name: str, *shapes: dict, **changes: Any) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (40, 30)).save(folder / f"{name}.jpg")
    content = dict(imagePath=f"{name}.jpg", imageHeight=30, imageWidth=40, shapes=list(shapes), **changes)
    (folder / f"{name}.json").write_text(json.dumps(content))
    return folder


def shape(label: str, points: list, kind: str = "polygon", **more: Any) -> dict:
    return dict(label=label, points=points, shape_type=kind, **more)


def read(out: Path, images: Path) -> list[tuple[str, dict[str, set[tuple[int, int]]]]]:
    """By image, the pixels (row, column) of each class, as our data set finds them."""
    dataset = PanopticRegionDataset(
        str(out / "panoptic.json"),
        data_prefix=dict(img=str(images), seg=str(out / "panoptic")),
        vocabulary=str(out / "vocabulary.json"),
    )
    found = []
    for info in (dataset.get_data_info(index) for index in range(len(dataset))):
        png = np.asarray(Image.open(info["seg_map_path"])).astype(int)
        ids = png[..., 0] + 256 * png[..., 1] + 65536 * png[..., 2]
        pixels: dict[str, set] = {}
        for segment in info["segments_info"]:
            name = dataset.metainfo["classes"][segment["label"]]
            pixels.setdefault(name, set()).update(zip(*np.nonzero(ids == segment["id"]), strict=True))
        found.append((Path(info["img_path"]).name, pixels))
    return found


def block(left: int, top: int, right: int, bottom: int) -> set[tuple[int, int]]:
    return {(row, column) for row in range(top, bottom) for column in range(left, right)}


def test_labelme_polygons_rectangles_and_groups(tmp_path: Path) -> None:
    images = labelme(tmp_path / "images", "1", shape("sky", SKY), shape("car", CAR), shape("door", DOOR, "rectangle"))
    halves = [shape("car", [[x, 0], [x + 5, 0], [x + 5, 9], [x, 9]], group_id=7) for x in (0, 20)]
    labelme(images / "more", "2", *halves, shape("car", CAR))
    said = write_panoptic(read_labelme(images), tmp_path / "out", stuff=["sky"])
    assert said == "5 regions of 3 classes in 2 images"
    (_, first), (_, second) = read(tmp_path / "out", images)
    door, car = block(6, 12, 10, 20), block(4, 10, 24, 22)
    assert first == dict(door=door, car=car - door, sky=block(0, 0, 40, 12) - car)  # the smaller one is on top
    assert second == dict(car=car | block(0, 0, 5, 9) | block(20, 0, 25, 9))
    classes = json.loads((tmp_path / "out/vocabulary.json").read_text())["classes"]
    assert {each["name"]: each["isthing"] for each in classes} == dict(sky=0, car=1, door=1)


def test_coco_masks_boxes_and_crowds(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    for name in ("a.jpg", "a.png"):
        Image.new("RGB", (40, 30)).save(tmp_path / "images" / name)
    objects = [
        dict(image_id=2, category_id=3, bbox=[4, 10, 20, 12], segmentation=[np.ravel(CAR).tolist()]),
        dict(image_id=2, category_id=8, bbox=[0, 0, 40, 12]),
        dict(image_id=1, category_id=3, bbox=[0, 0, 10, 10], iscrowd=1),
    ]
    content = dict(
        images=[dict(id=id, file_name=name, height=30, width=40) for id, name in ((1, "a.jpg"), (2, "a.png"))],
        annotations=[dict(id=number, **each) for number, each in enumerate(objects)],
        categories=[dict(id=3, name="car"), dict(id=8, name="sky")],
    )
    (tmp_path / "coco.json").write_text(json.dumps(content))
    write_panoptic(read_coco(tmp_path / "coco.json"), tmp_path / "out", stuff=["sky"])
    assert read(tmp_path / "out", tmp_path / "images") == [
        ("a.jpg", dict(car=block(0, 0, 10, 10))),
        ("a.png", dict(car=block(4, 10, 24, 22), sky=block(0, 0, 40, 12) - block(4, 10, 24, 22))),
    ]
    crowds = [each["iscrowd"] for each in _segments(tmp_path / "out")]
    assert sorted(crowds) == [0, 0, 1]


def _segments(out: Path) -> list[dict]:
    return [s for each in json.loads((out / "panoptic.json").read_text())["annotations"] for s in each["segments_info"]]


def test_objects_that_are_wholly_hidden_are_counted(tmp_path: Path) -> None:
    images = labelme(tmp_path / "images", "1", shape("car", CAR), shape("van", CAR))
    said = write_panoptic(read_labelme(images), tmp_path / "out")
    assert said == "1 regions of 1 classes in 1 images; 1 objects lie wholly under others and were left out"


@pytest.mark.parametrize(
    ("shapes", "changes", "stuff", "message"),
    [
        ([shape("car", CAR)], {}, ["cra"], "stuff class 'cra' is not annotated; did you mean 'car'"),
        ([], {}, [], "there is no annotated object"),
        ([shape("car", DOOR, "line")], {}, [], r"1\.json: shape 0 \('car'\) is a line of 2 points; draw a polygon"),
        ([shape("car", CAR)], dict(imagePath="../other/1.jpg"), [], "'../other/1.jpg' is not below .* Put them togeth"),
    ],
)
def test_what_cannot_be_meant_is_refused(
    tmp_path: Path, shapes: list, changes: dict, stuff: list, message: str
) -> None:
    images = labelme(tmp_path / "images", "1", *shapes)
    path = images / "1.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    with pytest.raises(ValueError, match=message):
        write_panoptic(read_labelme(images), tmp_path / "out", stuff)


def test_other_json_files_are_named(tmp_path: Path) -> None:
    (tmp_path / "notes.json").write_text("{}")
    with pytest.raises(ValueError, match=r"notes\.json is no LabelMe file"):
        list(read_labelme(tmp_path))
    with pytest.raises(FileNotFoundError, match="no LabelMe files"):
        list(read_labelme(tmp_path / "nowhere"))
