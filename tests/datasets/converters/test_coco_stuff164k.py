import importlib.util
from pathlib import Path

import mmseg
import numpy as np
import pytest
from PIL import Image

from densevlm_mm.datasets.converters.coco_stuff164k import COCOStuff164kConverter, pixel_labels


def test_labels_are_mmsegs() -> None:
    path = Path(mmseg.__file__).parent / ".mim" / "tools" / "dataset_converters" / "coco_stuff164k.py"
    spec = importlib.util.spec_from_file_location("mmseg_coco_stuff", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    table = pixel_labels()
    assert {value: int(label) for value, label in enumerate(table) if label >= 0} == module.clsID_to_trID
    assert sorted(table[table >= 0].tolist()) == [*range(171), 255]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    maps = tmp_path / "stuffthingmaps" / "val2017"
    maps.mkdir(parents=True)
    (tmp_path / "val2017").mkdir()
    Image.fromarray(np.array([[0, 10, 12], [181, 91, 255]], dtype=np.uint8)).save(maps / "000000000001.png")
    Image.new("RGB", (3, 2)).save(tmp_path / "val2017" / "000000000001.jpg")
    return tmp_path


def test_converts_and_verifies_and_converts_again(root: Path) -> None:
    converter = COCOStuff164kConverter(root, ["val2017"])
    for _ in range(2):  # the outputs lie beside the sources and must not be taken for such
        assert converter.convert().num_images == 1
    with Image.open(root / "stuffthingmaps" / "val2017" / "000000000001_labelTrainIds.png") as image:
        assert image.mode == "L"
        assert np.asarray(image).tolist() == [[0, 10, 11], [170, 80, 255]]
    assert np.flatnonzero(converter.verify().present).tolist() == [0, 10, 11, 80, 170]


def test_value_without_class_is_refused(root: Path) -> None:
    Image.fromarray(np.array([[11]], dtype=np.uint8)).save(root / "stuffthingmaps" / "val2017" / "000000000001.png")
    with pytest.raises(ValueError, match="has value 11"):
        COCOStuff164kConverter(root, ["val2017"]).convert()


def test_missing_split_is_named(root: Path) -> None:
    with pytest.raises(FileNotFoundError, match="stuffthingmaps/train2017 does not exist"):
        COCOStuff164kConverter(root).samples()
    with pytest.raises(ValueError, match="no split \\['val'\\]"):
        COCOStuff164kConverter(root, ["val"])
