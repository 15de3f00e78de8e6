import json
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from densevlm_mm.inference import OpenVocabularyInferencer
from densevlm_mm.web import TINY_SCENES
from densevlm_mm.web.comparison import EncoderComparison, draw_region
from densevlm_mm.web.photos import Photo, PhotoReader
from densevlm_mm.web.regions import Region
from densevlm_mm.web.words import Words

WORDS = Words(("plane", "bike"), ("sky", "sea"))


@pytest.fixture(scope="module")
def teacher() -> OpenVocabularyInferencer:
    """The second encoder by itself."""
    return OpenVocabularyInferencer(TINY_SCENES[1], vocabulary=WORDS.names, device="cpu")


def test_the_views_are_what_the_encoder_itself_says(
    comparison: EncoderComparison, teacher: OpenVocabularyInferencer, photo: Photo
) -> None:
    views = comparison.look(photo, WORDS, 4)
    assert list(views) == ["A", "B"]
    seen = views["B"]
    np.testing.assert_allclose(seen.similarity.maps, teacher.similarity(photo.image).maps, atol=1e-5)
    assert seen.similarity.texts == ("plane", "bike", "sky", "sea")
    np.testing.assert_array_equal(seen.segments.label_map, teacher(photo.image).label_map)
    width, height = photo.size
    lower_right = [0.75 * width, 0.75 * height, width, height]
    cell = teacher.classify(photo.image, boxes=np.array([[0, 0, width / 4, height / 4], lower_right], np.float32))
    assert seen.cells.labels[[0, -1]].tolist() == cell.labels.tolist()
    np.testing.assert_allclose(seen.cells.probabilities[[0, -1]], cell.scores, atol=1e-5)
    assert (seen.cells.kept == (seen.cells.probabilities > 0.3)).all()
    assert not np.allclose(views["A"].similarity.maps, seen.similarity.maps)


def test_cells_of_stuff_that_are_called_things_are_known_of_examples_alone(
    comparison: EncoderComparison, reader: PhotoReader, photo: Photo, noise: Path
) -> None:
    cells = comparison.look(photo, WORDS, 6)["A"].cells
    mistaken = cells.stuff_called_things
    assert mistaken is not None
    boxes = np.array([[column, row, column + 1, row + 1] for row in range(6) for column in range(6)]) / 6
    expected = photo.only_stuff(boxes) & (cells.labels < 2)
    np.testing.assert_array_equal(mistaken, expected)
    assert 0 < mistaken.sum() < 36
    assert comparison.look(reader.read(noise), WORDS, 2)["A"].cells.stuff_called_things is None


def test_visitors_at_the_same_time_get_their_own_words(comparison: EncoderComparison, photo: Photo) -> None:
    lists = [WORDS, Words((), ("sky", "sea", "grass")), Words(("kite", "boat", "clock"), ("road",))]
    with ThreadPoolExecutor(4) as pool:
        seen = list(pool.map(lambda words: comparison.look(photo, words, 2)["A"], lists * 3))
    for words, views in zip(lists * 3, seen, strict=True):
        assert views.similarity.texts == views.segments.classes == views.cells.classes == tuple(words.names)


def test_a_region_gets_the_names_of_both_encoders(
    comparison: EncoderComparison, teacher: OpenVocabularyInferencer, photo: Photo
) -> None:
    region = Region((10.0, 10.0, 200.0, 150.0))
    student_says, teacher_says = comparison.name_region(photo, WORDS, region)
    expected = teacher.classify(photo.image, boxes=np.array([region.values], np.float32))
    np.testing.assert_allclose(teacher_says.class_scores, expected.class_scores, atol=1e-5)
    assert student_says.class_scores.shape == (1, 4)


def test_a_region_is_drawn_where_it_is(photo: Photo) -> None:
    picture = draw_region(photo, Region((10.0, 10.0, 200.0, 150.0)), "plane / sky")
    assert picture.shape == (640, 640, 3)  # 1.25 times the photograph
    changed = np.flatnonzero((picture != photo.zoomed).any(axis=(0, 2)))
    assert 10 <= changed.min() <= 14
    assert 248 <= changed.max() <= 252


def test_the_archive_has_pictures_and_figures_of_both(
    comparison: EncoderComparison, photo: Photo, tmp_path: Path
) -> None:
    seen = comparison.look(photo, WORDS, 3)
    comparison.write_results(photo, WORDS, seen, tmp_path / "a.zip")
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        kinds = ("_grid.png", "_segments.png", "_similarity.png", ".json")
        assert sorted(archive.namelist()) == sorted(name + kind for name in "AB" for kind in kinds)
        assert archive.read("A_grid.png").startswith(b"\x89PNG")
        record = json.loads(archive.read("B.json"))
    assert record["photo"] == dict(name="tiny_scene_1.jpg", width=512, height=512)
    assert record["things"] == ["plane", "bike"]
    assert len(record["cells"]) == 9
    assert record["cosines"]["sky"]["highest"] == pytest.approx(float(seen["B"].similarity.maps[2].max()))
    assert record["segments"]["images"][0]["file_name"] == "tiny_scene_1.jpg"


def test_three_encoders_are_too_many(comparison: EncoderComparison) -> None:
    encoder = comparison.encoders["A"]
    for encoders in ({}, dict.fromkeys("ABC", encoder)):
        with pytest.raises(ValueError, match=f"one or two encoders, not {len(encoders)}"):
            EncoderComparison(encoders)
