import json
import runpy
import sys
import types
from pathlib import Path

import mmdet
import numpy as np
import pytest
from PIL import Image

from densevlm_mm.datasets import PanopticRegionDataset
from densevlm_mm.datasets.converters import ADE20KPanopticConverter

MMDET_TOOL = Path(mmdet.__file__).parent / ".mim/tools/dataset_converters/ade20k2coco.py"
WALL, BED, SKY = 1, 8, 3  # classes of the semantic maps; the bed is the first thing
SEMANTIC = np.array([[WALL, WALL, SKY, 0], [BED, BED, SKY, 0], [BED, BED, BED, BED]])
# Two beds; one of them lies on a pixel that the semantic map calls sky, one of its pixels has no instance.
INSTANCES = np.array([[0, 0, 0, 0], [1, 1, 2, 0], [1, 1, 2, 0]])


def write(root: Path, number: int, semantic: np.ndarray, instances: np.ndarray, split: str = "validation") -> None:
    name = f"ADE_val_{number:08d}"
    for kind in ("images", "annotations", "annotations_instance"):
        (root / kind / split).mkdir(parents=True, exist_ok=True)
    Image.new("RGB", semantic.shape[::-1]).save(root / "images" / split / f"{name}.jpg")
    Image.fromarray(semantic.astype(np.uint8)).save(root / "annotations" / split / f"{name}.png")
    colours = np.stack([instances > 0, instances, np.zeros_like(instances)], axis=-1).astype(np.uint8)
    Image.fromarray(colours).save(root / "annotations_instance" / split / f"{name}.png")


@pytest.fixture
def release(tmp_path: Path) -> Path:
    write(tmp_path, 12, SEMANTIC, INSTANCES)
    write(tmp_path, 3, np.full((2, 2), SKY), np.zeros((2, 2)))
    return tmp_path


def categories(png: Path, segments: list[dict]) -> np.ndarray:
    """Category of every pixel, -1 for none."""
    ids = np.asarray(Image.open(png)).astype(np.int64) @ np.array([1, 256, 65536])
    found = np.full(ids.shape, -1)
    for segment in segments:
        found[ids == segment["id"]] = segment["category_id"]
    assert (found[ids > 0] >= 0).all()
    return found


def test_things_are_instances_and_stuff_is_a_class(release) -> None:
    assert ADE20KPanopticConverter(release).convert(nproc=2) == 2
    content = json.loads((release / "ade20k_panoptic_val.json").read_text())
    assert [image["id"] for image in content["images"]] == [3, 12]
    annotation = content["annotations"][1]
    segments = {(s["category_id"], tuple(s["bbox"])): s["area"] for s in annotation["segments_info"]}
    assert segments == {(0, (0, 0, 2, 1)): 2, (2, (2, 0, 1, 1)): 1, (7, (0, 1, 2, 2)): 4, (7, (2, 1, 1, 2)): 2}
    png = release / "ade20k_panoptic_val" / annotation["file_name"]
    expected = [[0, 0, 2, -1], [7, 7, 7, -1], [7, 7, 7, -1]]
    assert categories(png, annotation["segments_info"]).tolist() == expected
    assert content["categories"][7] == dict(id=7, name="bed ", isthing=1)


def test_the_data_set_of_the_evaluation_reads_it(release) -> None:
    ADE20KPanopticConverter(release).convert()
    dataset = PanopticRegionDataset(
        "ade20k_panoptic_val.json",
        data_root=str(release),
        data_prefix=dict(img="images/validation", seg="ade20k_panoptic_val"),
        vocabulary="ade20k_150",
        match_categories="order",
    )
    segments = dataset.get_data_info(1)["segments_info"]
    assert [(each["label"], each["is_thing"]) for each in segments] == [(0, False), (2, False), (7, True), (7, True)]


def test_every_pixel_has_the_category_that_mmdetections_tool_gives_it(release, monkeypatch) -> None:
    """Its output has other ids, things first; it needs a package from git, whose two functions stand here."""
    # Where the two maps disagree, mmdetection's areas do not fit its pixels; the pixels are compared.
    generator = np.random.default_rng(0)
    semantic = generator.integers(0, 151, (40, 50))
    converter = ADE20KPanopticConverter(release)
    things = np.flatnonzero(converter.is_thing)
    instances = np.zeros((40, 50, 3), np.uint8)
    for number in range(1, 101):  # every thing once
        rows, columns = generator.integers(0, 40, 5), generator.integers(0, 50, 5)
        instances[rows, columns] = (number, number, 0)
    write(release, 99, semantic, np.zeros((40, 50)))
    Image.fromarray(instances).save(release / "annotations_instance/validation/ADE_val_00000099.png")
    converter.convert()
    ours = json.loads(converter.json_file.read_text())["annotations"][-1]
    found = categories(release / "ade20k_panoptic_val" / ours["file_name"], ours["segments_info"])

    class IdGenerator:
        def __init__(self, categories: dict) -> None:
            self.count = 0

        def get_id_and_color(self, category: int) -> tuple[int, list[int]]:
            self.count += 1
            return self.count, [self.count, 0, 0]

    package, utils = types.ModuleType("panopticapi"), types.ModuleType("panopticapi.utils")
    utils.IdGenerator = IdGenerator
    utils.save_json = lambda content, path: Path(path).write_text(json.dumps(content, default=int))
    monkeypatch.setitem(sys.modules, "panopticapi", package)
    monkeypatch.setitem(sys.modules, "panopticapi.utils", utils)
    for name in ("00000003", "00000012"):
        for folder in ("images", "annotations", "annotations_instance"):
            next((release / folder / "validation").glob(f"*{name}*")).unlink()
    for kind in ("images", "annotations", "annotations_instance"):
        (release / kind / "training").mkdir()
    runpy.run_path(str(MMDET_TOOL))["prepare_panoptic_annotations"](str(release))
    theirs = json.loads((release / "ade20k_panoptic_val.json").read_text())["annotations"][0]
    expected = categories(release / "ade20k_panoptic_val" / theirs["file_name"], theirs["segments_info"])
    order = np.concatenate([things, np.flatnonzero(~converter.is_thing), [-1]])  # their 0 to 149 as ours
    assert (found == order[expected]).all()


def test_what_was_written_is_verified(release) -> None:
    converter = ADE20KPanopticConverter(release)
    converter.convert()
    assert converter.verify() == 2
    content = json.loads(converter.json_file.read_text())
    content["annotations"][0]["segments_info"][0]["area"] += 1
    converter.json_file.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=r"ade20k_panoptic_val\.json is missing or differs"):
        converter.verify()
    Image.new("RGB", (4, 3)).save(release / "ade20k_panoptic_val/ADE_val_00000012.png")
    with pytest.raises(ValueError, match=r"ADE_val_00000012\.png differs from its source"):
        converter.verify()


def test_an_incomplete_release_is_named(release) -> None:
    (release / "annotations_instance/validation/ADE_val_00000012.png").unlink()
    with pytest.raises(FileNotFoundError, match=r"annotations_instance.*00000012\.png does not exist"):
        ADE20KPanopticConverter(release).convert()
    with pytest.raises(FileNotFoundError, match=r"images/training does not exist: .*annotations_instance\.tar"):
        ADE20KPanopticConverter(release, "training").convert()
    with pytest.raises(ValueError, match="no split 'val'"):
        ADE20KPanopticConverter(release, "val")


@pytest.mark.parametrize(
    ("folder", "picture", "message"),
    [
        ("annotations", np.full((3, 4), 151), "has class 151"),
        ("annotations_instance", np.full((3, 4, 3), 101), "has thing 101"),
        ("annotations_instance", np.zeros((5, 4, 3)), "not the colours of the"),
        ("annotations_instance", np.zeros((3, 4)), "not the colours of the"),
    ],
)
def test_files_of_another_format_are_refused(release, folder, picture, message) -> None:
    path = release / folder / "validation/ADE_val_00000012.png"
    Image.fromarray(picture.astype(np.uint8)).save(path)
    with pytest.raises(ValueError, match=message):
        ADE20KPanopticConverter(release).convert()
    assert not (release / "ade20k_panoptic_val.json").exists()
