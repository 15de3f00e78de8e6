import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from densevlm_mm.tiny_scenes import CLASS_NAMES, SceneGenerator
from densevlm_mm.web import photos
from densevlm_mm.web.photos import EXAMPLES, SHOWN_SIZE, Photo, PhotoReader


def test_an_example_is_known_again_under_any_name(reader: PhotoReader, tmp_path: Path) -> None:
    scene = SceneGenerator(seed=0, split="val").scene(EXAMPLES[0])
    photo = reader.read(shutil.copy(reader.examples[0], tmp_path / "mine.jpg"))
    assert photo.name == "mine.jpg"
    assert photo.labels is not None
    assert photo.labels.shape == photo.image.shape[:2]
    expected = np.array([255, *scene.segment_labels])[scene.segment_ids]
    np.testing.assert_array_equal(photo.labels[4::8, 4::8], expected)
    small = cv2.resize(photo.rgb, (64, 64), interpolation=cv2.INTER_AREA).astype(int)
    assert np.abs(small - scene.image).mean() < 8
    assert {CLASS_NAMES[label] for label in scene.segment_labels} <= set(reader.example_words.names)
    assert "sky" in reader.example_words.stuff
    assert "plane" in reader.example_words.things


def test_of_other_photographs_nobody_knows_what_they_show(reader: PhotoReader, noise: Path) -> None:
    photo = reader.read(noise)
    np.testing.assert_array_equal(photo.image, cv2.imread(str(noise)))
    assert photo.labels is None
    assert photo.only_stuff(np.array([[0, 0, 1, 1.0]])) is None


def test_boxes_of_nothing_but_stuff_are_found() -> None:
    labels = np.full((10, 10), CLASS_NAMES.index("sky"))
    labels[6, 6] = CLASS_NAMES.index("kite")
    labels[1, 6] = 255
    boxes = np.array([[0, 0, 0.5, 0.5], [0.5, 0.5, 1, 1], [0.5, 0, 1, 0.5], [0, 0.5, 0.5, 1]])
    photo = Photo("a", np.zeros((10, 10, 3), np.uint8), labels)
    assert photo.only_stuff(boxes).tolist() == [True, False, False, True]


def test_large_photographs_are_shown_smaller(reader: PhotoReader, tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "large.jpg"), np.zeros((1200, 3000, 3), np.uint8))
    assert reader.read(tmp_path / "large.jpg").size == (SHOWN_SIZE, round(SHOWN_SIZE * 1200 / 3000))


def test_what_is_wrong_with_a_file_is_said(
    reader: PhotoReader, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ValueError, match="Pick or upload a photograph"):
        reader.read(None)
    (tmp_path / "text.jpg").write_text("no image")
    with pytest.raises(ValueError, match=r"cannot be shown\. text\.jpg"):
        reader.read(tmp_path / "text.jpg")
    (tmp_path / "half.jpg").write_bytes(reader.examples[0].read_bytes()[:3000])
    with pytest.raises(ValueError, match=r"half\.jpg"):
        reader.read(tmp_path / "half.jpg")
    Image.new("1", (9000, 9000)).save(tmp_path / "bomb.png")  # a few kB, 81 megapixels
    with pytest.raises(ValueError, match=r"bomb\.png is 9000 x 9000 pixels; at most 64 million"):
        reader.read(tmp_path / "bomb.png")
    monkeypatch.setattr(photos, "MAX_BYTES", 1 << 20)
    (tmp_path / "heavy.jpg").write_bytes(bytes((1 << 20) + 1))
    with pytest.raises(ValueError, match=r"heavy\.jpg is larger than 1 MiB"):
        reader.read(tmp_path / "heavy.jpg")
