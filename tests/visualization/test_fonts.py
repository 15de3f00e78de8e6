from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from matplotlib import font_manager
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image, ImageDraw

from densevlm_mm.visualization import fonts
from densevlm_mm.visualization.fonts import draw_text, drawable, font_families, label_text, label_texts, text_width

NOWHERE = "\U00040000"  # no letter, so no font has it


def forget_fonts() -> None:
    fonts.font_of.cache_clear()
    fonts._other_fonts.cache_clear()
    fonts._reported.clear()


@pytest.fixture
def small_font(tmp_path: Path) -> Iterator[str]:
    """An installed font of two letters, 車 (a filled square) and U+40000 (a thin bar)."""
    builder = FontBuilder(1000, isTTF=True)
    glyphs, advances = {}, {}
    for name, width in ((".notdef", 500), ("square", 900), ("bar", 100)):
        pen = TTGlyphPen(None)
        pen.moveTo((0, 0))
        for corner in ((0, 800), (width, 800), (width, 0)):
            pen.lineTo(corner)
        pen.closePath()
        glyphs[name], advances[name] = pen.glyph(), (1000, 0)
    builder.setupGlyphOrder(list(glyphs))
    builder.setupCharacterMap({ord("車"): "square", ord(NOWHERE): "bar"})
    builder.setupGlyf(glyphs)
    builder.setupHorizontalMetrics(advances)
    builder.setupHorizontalHeader(ascent=800, descent=-200)
    builder.setupNameTable(dict(familyName="Two Letters", styleName="Regular"))
    builder.setupOS2()
    builder.setupPost()
    path = str(tmp_path / "TwoLetters-Regular.ttf")
    builder.save(path)
    before = list(font_manager.fontManager.ttflist)
    font_manager.fontManager.addfont(path)
    forget_fonts()
    yield path
    font_manager.fontManager.ttflist[:] = before
    forget_fonts()


@pytest.fixture(autouse=True)
def nothing_said_yet() -> Iterator[None]:
    forget_fonts()
    yield
    forget_fonts()


def line_of(text: str) -> np.ndarray:
    image = Image.new("L", (400, 24), 255)
    draw_text(ImageDraw.Draw(image), (4, 2), text, 15, 0)
    return np.asarray(image)


def test_letters_of_matplotlibs_font_stay() -> None:
    for text in ("boat", "Größe", "лодка", "βάρκα", "قارب", "price $x_{2$", "50 % \\off^2"):
        assert drawable(text) == text
        assert font_families(text) == ["DejaVu Sans"]


def test_letters_without_a_font_are_escaped_and_look_different() -> None:
    one, other = drawable(f"a{NOWHERE}"), drawable("a\U00040001")
    assert (one, other) == ("a\\U00040000", "a\\U00040001")
    assert not np.array_equal(line_of(one), line_of(other))
    assert drawable("two\nlines\t") == "two\\u000alines\\u0009"


def test_missing_letters_are_said_once_with_the_fix(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr(fonts, "print_log", lambda message, *_: said.append(message))
    for _ in range(3):
        drawable(f"a{NOWHERE}b")
    drawable("\U00040001")
    (message,) = said
    assert repr(NOWHERE) in message
    assert "fonts-noto" in message


def test_an_installed_font_draws_what_it_has(small_font: str) -> None:
    assert drawable(f"車{NOWHERE}") == f"車{NOWHERE}"
    assert font_families(f"a{NOWHERE}") == ["DejaVu Sans", "Two Letters"]
    square, bar = line_of("a車b"), line_of(f"a{NOWHERE}b")
    assert (square < 128).sum() > (bar < 128).sum() + 50
    assert text_width("a車b", 15) == pytest.approx(text_width("ab", 15) + 15, abs=2)


def test_matplotlib_draws_each_letter_in_a_font_that_has_it(small_font: str) -> None:
    def picture(text: str) -> np.ndarray:
        figure = Figure(figsize=(2, 1), dpi=100)
        canvas = FigureCanvasAgg(figure)
        figure.text(0.1, 0.5, text, family=font_families(text), parse_math=False)
        canvas.draw()
        return np.asarray(canvas.buffer_rgba())[..., 0].copy()

    assert (picture("a車") < 128).sum() > (picture(f"a{NOWHERE}") < 128).sum() + 50


def test_names_on_pictures_are_told_apart() -> None:
    assert label_text(" boat ", 3) == "boat"
    long = ["x" * 300 + end for end in "ab"]
    assert [label_text(name, number) for number, name in enumerate(long)] == [f"{'x' * 39}… #0", f"{'x' * 39}… #1"]
    assert label_texts(["building, edifice", "sky"]) == ["building", "sky"]
    assert label_texts(["bag", "bag, handbag", "fruit", "fruit", "bat (wood, old), club"]) == [
        "bag",
        "bag, handbag",
        "fruit #2",
        "fruit #3",
        "bat (wood, old)",
    ]


def test_a_text_can_end_at_a_place() -> None:
    image = Image.new("L", (100, 24), 255)
    draw_text(ImageDraw.Draw(image), (90, 2), "boat", 15, 0, align="right")
    columns = np.flatnonzero((np.asarray(image) < 128).any(axis=0))
    assert 85 <= columns.max() < 90
    assert columns.min() >= 90 - text_width("boat", 15) - 1
