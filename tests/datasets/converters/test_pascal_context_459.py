from pathlib import Path

import numpy as np
import pytest
import scipy.io
from PIL import Image

from densevlm_mm.datasets.converters.pascal_context_459 import PascalContext459Converter


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for folder in ("trainval", "VOC2010/JPEGImages", "VOC2010/ImageSets/Main"):
        (tmp_path / folder).mkdir(parents=True)
    for name, values in (("2008_000002", [[0, 1], [459, 300]]), ("2008_000003", [[5, 5], [5, 5]])):
        scipy.io.savemat(tmp_path / "trainval" / f"{name}.mat", {"LabelMap": np.array(values, dtype=np.uint16)})
        Image.new("RGB", (2, 2)).save(tmp_path / "VOC2010" / "JPEGImages" / f"{name}.jpg")
    (tmp_path / "VOC2010/ImageSets/Main/val.txt").write_text("2008_000002\n")
    return tmp_path


def test_converts_the_split_and_writes_its_list(root: Path) -> None:
    converter = PascalContext459Converter(root)
    assert converter.convert().num_images == 1
    with Image.open(root / "annotations_459" / "2008_000002.png") as image:
        assert np.asarray(image).tolist() == [[65535, 0], [458, 299]]
    assert (root / "pascal_context_459_val.txt").read_text() == "2008_000002\n"
    assert np.flatnonzero(converter.verify().present).tolist() == [0, 299, 458]


def test_list_of_the_published_figures_comes_first(root: Path) -> None:
    (root / "VOC2010/ImageSets/SegmentationContext").mkdir()
    (root / "VOC2010/ImageSets/SegmentationContext/val.txt").write_text("2008_000003\n")
    assert [sample.label.stem for sample in PascalContext459Converter(root).samples()] == ["2008_000003"]
    given = root / "mine.txt"
    given.write_text("2008_000002 1\n2008_000003 -1\n")
    assert len(PascalContext459Converter(root, given).samples()) == 2


def test_verify_finds_another_list(root: Path) -> None:
    converter = PascalContext459Converter(root)
    with pytest.raises(FileNotFoundError, match="convert first"):
        converter.verify()
    converter.convert()
    (root / "pascal_context_459_val.txt").write_text("2008_000003\n")
    with pytest.raises(ValueError, match="is not the list"):
        converter.verify()


def test_wrong_inputs_are_named(root: Path) -> None:
    with pytest.raises(FileNotFoundError, match="trainval does not exist"):
        PascalContext459Converter(root / "VOC2010").samples()
    with pytest.raises(FileNotFoundError, match="give --split"):
        PascalContext459Converter(root, root / "none.txt").samples()
    (root / "mine.txt").write_text("2008_000009\n")
    with pytest.raises(FileNotFoundError, match=r"2008_000009.mat does not exist, but .*mine.txt names it"):
        PascalContext459Converter(root, root / "mine.txt").convert()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"Other": np.zeros(1)}, "no LabelMap"),
        ({"LabelMap": np.array([[460]])}, "values 460 to 460"),
        (None, "be read"),
    ],
)
def test_wrong_annotation_is_named(root: Path, content: dict | None, message: str) -> None:
    path = root / "trainval" / "2008_000002.mat"
    if content is None:
        path.write_bytes(b"MATLAB 7.3 or something else entirely, and long enough to have a header" * 4)
    else:
        scipy.io.savemat(path, content)
    with pytest.raises(ValueError, match=message):
        PascalContext459Converter(root).convert()
