"""Data sets of label maps: files that belong together."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mmengine.registry import DATASETS, DefaultScope
from PIL import Image

import densevlm_mm.segmentation  # noqa: F401

CLASSES = ("road", "sky", "tram")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for folder in ("img", "labels"):
        (tmp_path / folder / "a").mkdir(parents=True)
    for name, value in (("1", 0), ("2", 2), ("a/3", 255)):
        Image.new("RGB", (6, 4)).save(tmp_path / "img" / f"{name}.jpg")
        Image.fromarray(np.full((4, 6), value, np.uint8)).save(tmp_path / "labels" / f"{name}.png")
    return tmp_path


def build(root: Path, **options: Any) -> Any:
    node = dict(
        type="LabelMapDataset",
        data_root=str(root),
        data_prefix=dict(img_path="img", seg_map_path="labels"),
        metainfo=dict(classes=CLASSES),
        img_suffix=".jpg",
        seg_map_suffix=".png",
        pipeline=[dict(type="densevlm_mm.LoadImage"), dict(type="LoadSegLabels")],
    )
    with DefaultScope.overwrite_default_scope("mmseg"):
        return DATASETS.build(node | options)


def labels_of(dataset: Any) -> list[int]:
    return [int(dataset[index]["gt_seg_map"][0, 0]) for index in range(len(dataset))]


def test_labels_are_positions_among_the_classes(root: Path) -> None:
    dataset = build(root)
    assert labels_of(dataset) == [0, 2, 255]
    assert dataset.metainfo["ignore_index"] == 255


def test_the_ignored_label_is_told_to_loader_and_metric(root: Path) -> None:
    dataset = build(root, ignore_index=7)
    assert dataset.metainfo["ignore_index"] == 7
    with pytest.raises(ValueError, match=r"a/3\.png has labels .* nor the ignored label 7: 255 \(24 pixels\)"):
        labels_of(dataset)
    with pytest.raises(ValueError, match="ignore_index 1 of LabelMapDataset is the label of one of its 3 classes"):
        build(root, ignore_index=1)


def test_every_label_map_is_checked_when_it_is_loaded(root: Path) -> None:
    dataset = build(root)
    Image.new("L", (4, 6)).save(root / "labels" / "2.png")
    with pytest.raises(ValueError, match=r"labels/2\.png is 4 x 6 .*img/2\.jpg 6 x 4"):
        dataset[1]
    Image.new("RGB", (6, 4)).save(root / "labels" / "2.png")
    with pytest.raises(ValueError, match=r"labels/2\.png has 3 channels"):
        dataset[1]
    (root / "labels" / "2.png").unlink()
    with pytest.raises(FileNotFoundError, match=r"labels/2\.png"):
        dataset[1]


def test_a_label_map_of_a_turned_image_says_in_which_frame(root: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (6, 4)).save(root / "img" / "2.jpg", exif=exif)
    assert build(root)[1]["img"].shape == (4, 6, 3)
    Image.new("L", (4, 6)).save(root / "labels" / "2.png")
    assert build(root)[1]["img"].shape == (6, 4, 3)


def test_a_list_may_have_blank_lines_comments_and_a_byte_order_mark(root: Path) -> None:
    (root / "list.txt").write_bytes("\ufeff2\r\n\r\n# not yet\r\na/3\n".encode())
    assert labels_of(build(root, ann_file="list.txt")) == [2, 255]
    (root / "list.txt").write_text(f"2\n{root}/img/1\n")
    with pytest.raises(ValueError, match=r"list\.txt: file name .* is an absolute path"):
        build(root, ann_file="list.txt")
    (root / "list.txt").write_text("2\n9\n")
    with pytest.raises(ValueError, match=r"1 of 2 images do not exist: .*img/9\.jpg"):
        build(root, ann_file="list.txt")


def test_missing_labels_and_folders_are_named(root: Path) -> None:
    (root / "labels" / "1.png").unlink()
    with pytest.raises(ValueError, match=r"1 of the 3 images in .*img have no label map: .*labels/1\.png"):
        build(root)
    with pytest.raises(FileNotFoundError, match=r"label folder .*elsewhere does not exist"):
        build(root, data_prefix=dict(img_path="img", seg_map_path="elsewhere"))
    with pytest.raises(FileNotFoundError, match=r"list of images .*none\.txt does not exist"):
        build(root, ann_file="none.txt")
    assert len(build(root, data_prefix=dict(img_path="img"))) == 3  # images without labels are enough


@pytest.mark.parametrize("name", ["COCOStuff164kDataset", "ADE20K150Dataset", "PascalContext59Dataset"])
def test_mmsegs_data_sets_keep_their_classes(name: str) -> None:
    ours = DATASETS.get(f"mmseg.{name}")
    theirs = ours.__mro__[2]
    assert theirs.__module__.startswith("mmseg.")
    assert ours.METAINFO == theirs.METAINFO
