from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

pytest.importorskip("gradio", reason='the page needs gradio: pip install -e ".[web]"')

import gradio as gr

from densevlm_mm.web.answers import BOX, POINT, Answers, similarity_tiles
from densevlm_mm.web.comparison import EncoderComparison
from densevlm_mm.web.photos import PhotoReader

WORDS = ("plane, bike", "sky, sea")


@pytest.fixture
def answers(comparison: EncoderComparison, reader: PhotoReader, tmp_path: Path) -> Answers:
    return Answers(comparison, reader, tmp_path)


@pytest.fixture
def example(reader: PhotoReader) -> str:
    return str(reader.examples[0])


def clicked(x: int, y: int) -> SimpleNamespace:
    """A click at a pixel of an example, which is shown larger, 640 pixels instead of 512."""
    return SimpleNamespace(index=[x * 640 / 512, y * 640 / 512])


def test_a_look_fills_the_views_and_empties_the_region(answers: Answers, example: str) -> None:
    first, *rest = answers.look(example, *WORDS, 3)
    segments, grid, sentence = rest[:3]
    assert [caption.split()[0] for _, caption in first] == ["plane", "bike", "sky", "sea"]
    image, layers = segments.value["image"], segments.value["annotations"]
    assert image
    assert {layer["label"].split()[0] for layer in layers} <= {"plane", "bike", "sky", "sea"}
    assert cv2.imread(grid) is not None
    assert sentence.startswith("It calls ")
    assert "of 9 cells a thing" in sentence
    photo, numbers, corner, said, *probabilities, download = rest[7:]
    assert photo.shape == (640, 640, 3)
    assert (numbers, corner, said, probabilities) == ("", None, "", [None, None])
    assert not download.visible


def test_without_a_photograph_the_views_are_empty(answers: Answers) -> None:
    answer = answers.look(None, *WORDS, 3)
    assert answer[:8] == [[], None, None, ""] * 2
    assert answer[8] is None


def test_a_click_names_a_point_and_two_clicks_a_box(answers: Answers, example: str) -> None:
    point = answers.click(example, *WORDS, POINT, None, clicked(100, 60))
    assert point[1:3] == ["100, 60", None]
    assert point[3].startswith("A: **")
    assert sum(point[4].values()) == pytest.approx(1, abs=1e-5)
    waiting = answers.click(example, *WORDS, BOX, None, clicked(300, 200))
    assert waiting[1:4] == ["", (300, 200), "Now click the opposite corner."]
    box = answers.click(example, *WORDS, BOX, waiting[2], clicked(100, 60))
    assert box[1:3] == ["100, 60, 300, 200", None]
    typed = answers.name_region(example, *WORDS, "100, 60, 300, 200")
    np.testing.assert_array_equal(typed[0], box[0])
    assert typed[1:] == box[1:]


@pytest.mark.parametrize(
    ("words", "region", "problem"),
    [
        (("boat", ""), "1, 1", "at least two words"),
        (WORDS, "1", "two numbers"),
        (WORDS, "600, 1", "outside"),
    ],
)
def test_wrong_input_is_said_on_the_page(
    answers: Answers, example: str, words: tuple[str, str], region: str, problem: str
) -> None:
    with pytest.raises(gr.Error, match=problem) as caught:
        answers.name_region(example, *words, region)
    assert not caught.value.print_exception


def test_heat_maps_span_their_own_cosines(comparison: EncoderComparison, reader: PhotoReader, noise: Path) -> None:
    maps = comparison.encoders["A"].similarity(reader.read(noise).image, ["sky", "a red boat"])
    (_, first), (tile, second) = similarity_tiles(maps)
    assert first.startswith("sky ")
    assert second == f"a red boat {maps.maps[1].min():.2f}…{maps.maps[1].max():.2f}"
    assert tile.shape == (192, 320, 3)
