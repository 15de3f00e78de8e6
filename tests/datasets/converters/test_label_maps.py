"""Writing and verifying, with the smallest converter there can be."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from densevlm_mm.datasets.converters.label_maps import (
    ConversionSummary,
    LabelMapConverter,
    Sample,
    read_label_map,
    unique_samples,
)


class PlusOneConverter(LabelMapConverter):
    """Labels are the source's values less one; 0 is ignored."""

    num_classes = 300
    ignore_index = 65535

    def __init__(self, root: Path) -> None:
        self.root = root

    def samples(self) -> list[Sample]:
        return [
            Sample(path, self.root / "images" / f"{path.stem}.png", self.root / "labels" / path.name)
            for path in sorted((self.root / "source").glob("*.png"))
        ]

    def labels(self, sample: Sample) -> np.ndarray:
        values = read_label_map(sample.source).astype(np.int64)
        return np.where(values == 0, self.ignore_index, values - 1)


@pytest.fixture
def converter(tmp_path: Path) -> PlusOneConverter:
    for folder in ("source", "images"):
        (tmp_path / folder).mkdir()
    for index, values in enumerate(([[0, 1, 300]], [[7, 7, 8]])):
        Image.fromarray(np.array(values, dtype=np.uint16)).save(tmp_path / "source" / f"{index}.png")
        Image.new("RGB", (3, 1)).save(tmp_path / "images" / f"{index}.png")
    return PlusOneConverter(tmp_path)


@pytest.mark.parametrize("nproc", [1, 2])
def test_convert_writes_wide_labels_and_verify_accepts_them(converter: PlusOneConverter, nproc: int) -> None:
    converter.convert(nproc)
    with Image.open(converter.root / "labels" / "0.png") as image:
        assert np.asarray(image).dtype == np.uint16
        assert np.asarray(image).tolist() == [[65535, 0, 299]]
    summary = converter.verify(nproc)
    assert summary.num_images == 2
    assert np.flatnonzero(summary.present).tolist() == [0, 6, 7, 299]


def overwrite(path: Path, values: list, dtype: type = np.uint16) -> None:
    Image.fromarray(np.array(values, dtype=dtype)).save(path)


@pytest.mark.parametrize(
    ("values", "dtype", "message"),
    [
        ([[65535, 0, 298]], np.uint16, r"differs from its source .* in 1 pixels \(classes \[298, 299\] come or go"),
        ([[0, 65535, 299]], np.uint16, "in 2 pixels .the classes are the same"),
        ([[65535, 0, 400]], np.uint16, "has label 400, which is no class"),
        ([[65535, 0]], np.uint16, "is 2 x 1, but its image .* 3 x 1"),
        ([[255, 0, 1]], np.uint8, "holds uint8, not uint16"),
        ([[[1, 2, 3]] * 3], np.uint8, "not one channel"),
    ],
)
def test_verify_finds_wrong_labels(converter: PlusOneConverter, values: list, dtype: type, message: str) -> None:
    converter.convert()
    overwrite(converter.root / "labels" / "0.png", values, dtype)
    with pytest.raises(ValueError, match=message):
        converter.verify()


def test_verify_finds_missing_broken_and_left_over_files(converter: PlusOneConverter) -> None:
    converter.convert()
    (converter.root / "labels" / "0.png").unlink()
    whole = (converter.root / "labels" / "1.png").read_bytes()
    (converter.root / "labels" / "1.png").write_bytes(whole[: len(whole) // 2])
    overwrite(converter.root / "labels" / "old.png", [[0]])
    with pytest.raises(ValueError, match="3 problems in 2 images") as caught:
        converter.verify()
    for part in ("0.png does not exist", "1.png cannot be read", "old.png belongs to no image"):
        assert part in str(caught.value)


def test_verify_needs_the_image(converter: PlusOneConverter) -> None:
    converter.convert()
    (converter.root / "images" / "0.png").unlink()
    with pytest.raises(ValueError, match=r"image .*0.png does not exist"):
        converter.verify()


def test_two_sources_of_one_output_are_refused() -> None:
    samples = [Sample(Path(f"{folder}/a.png"), Path("a.jpg"), Path("out/a.png")) for folder in "xy"]
    with pytest.raises(ValueError, match=r"x/a\.png and y/a\.png would both be written to out/a\.png"):
        unique_samples(samples, Path(), "images")
    with pytest.raises(ValueError, match="somewhere holds no images"):
        unique_samples([], Path("somewhere"), "images")


def test_report_tells_an_unusual_number_of_images() -> None:
    summary = ConversionSummary(3, np.array([True, False]))
    assert summary.report("A", 3) == "A: 3 images, 1 of 2 classes occur"
    assert "published figures: 4 images" in summary.report("A", 4)


def test_number_of_processes_is_checked(converter: PlusOneConverter) -> None:
    with pytest.raises(ValueError, match="nproc is 0"):
        converter.convert(0)
