import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from densevlm_mm.datasets.converters.ade20k_847 import ADE20K847Converter, object_labels, reduced_size
from densevlm_mm.vocabulary.vocabulary import vocabulary_dir

WALL, EARTH = 2978, 838  # objects 0 and 9 of the classes


def colours(numbers: np.ndarray) -> np.ndarray:
    """ADE20K's colours of object numbers; the last digit of red and all of blue mean other things."""
    picture = np.stack([numbers // 256 * 10 + 3, numbers % 256, np.full_like(numbers, 77)], axis=-1)
    return picture.astype(np.uint8)


def make_tree(root: Path, name: str, numbers: np.ndarray, scene: str = "urban/street") -> None:
    folder = root / "images" / "ADE" / "validation" / scene
    folder.mkdir(parents=True, exist_ok=True)
    Image.fromarray(colours(numbers)).save(folder / f"{name}_seg.png")
    gradient = np.broadcast_to(np.linspace(0, 255, numbers.shape[1])[None, :, None], (*numbers.shape, 3))
    Image.fromarray(gradient.astype(np.uint8)).save(folder / f"{name}.jpg")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    root = tmp_path / "ADE20K_2021_17_01"
    make_tree(root, "ADE_val_00000001", np.array([[WALL, WALL, 0], [EARTH, 3, 312]]))
    large = np.full((600, 1000), WALL)
    large[:, 500:] = EARTH
    make_tree(root, "ADE_val_00000002", large, "home/kitchen")
    return root


def test_converts_and_verifies(source: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    converter = ADE20K847Converter(source, out)
    assert converter.convert(nproc=2).num_images == 2
    with Image.open(out / "annotations" / "validation" / "ADE_val_00000001.png") as image:
        assert np.asarray(image).tolist() == [[0, 0, 65535], [9, 65535, 1]]
    original = source / "images/ADE/validation/urban/street/ADE_val_00000001.jpg"
    assert (out / "images" / "validation" / "ADE_val_00000001.jpg").read_bytes() == original.read_bytes()
    with Image.open(out / "annotations" / "validation" / "ADE_val_00000002.png") as image:
        labels = np.asarray(image)
    with Image.open(out / "images" / "validation" / "ADE_val_00000002.jpg") as image:
        assert image.size == (853, 512)
        middle = np.asarray(image)[256, 426, 0]
    assert abs(int(middle) - 127) < 4
    assert labels.shape == (512, 853)
    assert (labels[:, :426] == 0).all()
    assert (labels[:, 427:] == 9).all()
    assert np.flatnonzero(converter.verify().present).tolist() == [0, 1, 9]


@pytest.mark.parametrize("turned_labels", [False, True])
def test_turned_images_lose_the_tag_and_fit_their_labels(tmp_path: Path, turned_labels: bool) -> None:
    numbers = np.full((40, 60), WALL)
    numbers[:, 30:] = EARTH
    make_tree(tmp_path / "ade", "a", np.rot90(numbers, -1) if turned_labels else numbers)
    (path,) = (tmp_path / "ade").rglob("a.jpg")
    pixels = np.zeros((40, 60, 3), np.uint8)
    pixels[:, 30:] = 200
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(pixels).save(path, exif=exif, quality=95)
    converter = ADE20K847Converter(tmp_path / "ade", tmp_path / "out")
    converter.convert()
    with Image.open(tmp_path / "out/images/validation/a.jpg") as image:
        assert 0x0112 not in image.getexif()
        written = np.asarray(image)
    with Image.open(tmp_path / "out/annotations/validation/a.png") as image:
        labels = np.asarray(image)
    assert written.shape[:2] == labels.shape == ((60, 40) if turned_labels else (40, 60))
    assert ((written[..., 0] > 100) == (labels == 9)).mean() > 0.98
    converter.verify()


def test_broken_files_are_named(source: Path, tmp_path: Path) -> None:
    for suffix, message in (("_seg.png", "cannot be read"), (".jpg", "is not a complete image")):
        path = next(source.rglob(f"*1{suffix}"))
        content = path.read_bytes()
        path.write_bytes(content[: len(content) // 2])
        with pytest.raises(ValueError, match=rf"{path.name}.*{message}"):
            ADE20K847Converter(source, tmp_path / "out").convert()
        path.write_bytes(content)


def test_verify_finds_an_image_of_the_original_size(source: Path, tmp_path: Path) -> None:
    converter = ADE20K847Converter(source, tmp_path / "out")
    converter.convert()
    Image.new("RGB", (1000, 600)).save(tmp_path / "out" / "images" / "validation" / "ADE_val_00000002.jpg")
    with pytest.raises(ValueError, match=r"is 853 x 512, but its image .* 1000 x 600"):
        converter.verify()


def test_every_class_has_its_object() -> None:
    entries = json.loads((vocabulary_dir() / "ade20k_847.json").read_text())["classes"]
    numbers = [entry["ade_id"] for entry in entries]
    assert len(set(numbers)) == 847
    assert object_labels()[numbers].tolist() == list(range(847))
    assert (object_labels() == 65535).sum() == 6656 - 847


@pytest.mark.parametrize(
    ("size", "expected"), [((683, 512), (683, 512)), ((300, 900), (300, 900)), ((1024, 2048), (512, 1024))]
)
def test_only_a_long_short_side_is_reduced(size: tuple[int, int], expected: tuple[int, int]) -> None:
    assert reduced_size(*size) == expected


def test_wrong_folder_and_missing_labels_are_named(source: Path, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="give the folder of the unpacked ADE20K_2021_17_01"):
        ADE20K847Converter(source / "images", tmp_path).samples()
    next(source.rglob("*1_seg.png")).unlink()
    with pytest.raises(FileNotFoundError, match=r"1_seg\.png does not exist"):
        ADE20K847Converter(source, tmp_path / "out").convert()
    with pytest.raises(ValueError, match="no split"):
        ADE20K847Converter(source, tmp_path / "out", ["val"])


def test_image_name_in_two_scenes_is_refused(source: Path, tmp_path: Path) -> None:
    make_tree(source, "ADE_val_00000001", np.array([[WALL]]), "home/bath")
    with pytest.raises(ValueError, match="would both be written"):
        ADE20K847Converter(source, tmp_path / "out").convert()
