"""Drawing names in any script: a font for every letter, and an escape for letters that no installed font has."""

import logging
import unicodedata
from collections import Counter
from collections.abc import Sequence
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib
from matplotlib import font_manager
from matplotlib.figure import Figure
from matplotlib.ft2font import FT2Font
from matplotlib.text import Text
from mmengine.logging import print_log
from PIL import ImageDraw, ImageFont

from densevlm_mm.vocabulary.class_matching import synonyms_of

FAMILY = "DejaVu Sans"  # comes with matplotlib
# Text is text, whatever letters it has, and not TeX: for `matplotlib.rc_context`, when a text is made.
PLAIN_TEXT: dict[Any, Any] = {"text.parse_math": False, "text.usetex": False}
# Asked first for a letter that FAMILY lacks; then all others that are installed.
_PREFERRED = ("Noto Sans CJK", "Source Han Sans", "WenQuanYi", "Noto Sans", "PingFang", "Yu Gothic", "Microsoft YaHei")
_reported: list[str] = []  # what was said already
_TOFU = ("Last Resort", "LastResort", "Adobe Blank")  # they have an equal picture for every letter of a script


class Font(NamedTuple):
    """An installed font.

    Args:
        path: Its file.
        family: What matplotlib calls it.
    """

    path: str
    family: str


def drawable(text: str) -> str:
    r"""The text as it is drawn: letters that no installed font has become ``\u81ea``, others stay.

    Two texts that differ look different, while without a font all such letters are the same empty box. Said once a run.
    """
    missing = [letter for letter in dict.fromkeys(text) if not _is_drawable(letter)]
    if not missing:
        return text
    if unknown := "".join(letter for letter in missing if not _is_control(letter)):
        _report_missing(unknown)
    return "".join(_escape(letter) if letter in missing else letter for letter in text)


def label_text(name: str, number: int, limit: int = 40) -> str:
    """A class name on a picture: drawable, and cut where it is long, with the number of its class to tell it by.

    Args:
        name: As the user wrote it.
        number: Of the class.
        limit: Most letters of a name.
    """
    text = drawable(name.strip())
    return text if len(text) <= limit else f"{text[: limit - 1]}… #{number}"


def label_texts(names: Sequence[str], limit: int = 28) -> list[str]:
    """Short names of the classes of a list, no two alike: the first synonym, the whole name where others have it too.

    Args:
        names: K names, as the user wrote them.
        limit: Most letters of a name.
    """
    texts = [label_text(synonyms_of(name)[0] or name, number, limit) for number, name in enumerate(names)]
    counts = Counter(texts)
    texts = [
        text if counts[text] == 1 else label_text(name, number, limit)
        for number, (name, text) in enumerate(zip(names, texts, strict=True))
    ]
    counts = Counter(texts)
    return [text if counts[text] == 1 else f"{text} #{number}" for number, text in enumerate(texts)]


def font_families(text: str) -> list[str]:
    """Families for matplotlib's ``family=``, which looks every letter up in them in this order."""
    fonts = (font_of(letter) for letter in text)
    return list(dict.fromkeys([FAMILY, *(font.family for font in fonts if font is not None)]))


def use_fonts(figure: Figure) -> None:
    """Let matplotlib draw all texts of a figure in fonts that have their letters."""
    for axes in figure.axes:
        axes.get_xticklabels()  # ticks have no text before they are asked for it
        axes.get_yticklabels()
    for text in figure.findobj(Text):
        lines = text.get_text().split("\n")
        text.set_text("\n".join(map(drawable, lines)))
        text.set_fontfamily(font_families("".join(lines)))


def text_width(text: str, size: int) -> float:
    """Width in pixels of a drawable text as `draw_text` draws it."""
    return sum(_pil_font(path, size).getlength(part) for path, part in _runs(text))


def draw_text(
    draw: ImageDraw.ImageDraw, corner: tuple[float, float], text: str, size: int, fill: Any, align: str = "left"
) -> None:
    """Draw a line of drawable text on a PIL image, every letter in a font that has it.

    Args:
        draw: Of the image.
        corner: Top left corner of the line, or top right one with ``align='right'``.
        text: See `drawable`.
        size: In pixels.
        fill: Colour.
        align: ``left`` or ``right``.
    """
    left, top = corner
    left -= text_width(text, size) if align == "right" else 0
    baseline = top + _pil_font(_default_font().path, size).getmetrics()[0]
    for path, part in _runs(text):
        font = _pil_font(path, size)
        draw.text((left, baseline), part, font=font, fill=fill, anchor="ls")
        left += font.getlength(part)


@lru_cache(maxsize=1 << 14)
def font_of(letter: str) -> Font | None:
    """The font that draws a letter: matplotlib's own if it can, else an installed one; None if there is none."""
    return next((font for font in (_default_font(), *_other_fonts()) if ord(letter) in _letters(font.path)), None)


@cache
def _default_font() -> Font:
    return Font(str(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"), FAMILY)


@cache
def _other_fonts() -> tuple[Font, ...]:
    known = {entry.fname: entry.name for entry in font_manager.fontManager.ttflist}
    for path in font_manager.findSystemFonts():  # fonts that were installed since matplotlib made its list
        if path not in known:
            try:
                font_manager.fontManager.addfont(path)
            except (OSError, RuntimeError, ValueError):  # damaged, or of bitmaps: matplotlib passes over them too
                continue
            known[path] = font_manager.fontManager.ttflist[-1].name
    fonts = [Font(path, name) for path, name in known.items() if not name.startswith(_TOFU)]
    rank = {name: position for position, name in enumerate(_PREFERRED)}

    def key(font: Font) -> tuple:
        preferred = (rank[name] for name in _PREFERRED if font.family.startswith(name))
        return (next(preferred, len(rank)), "Regular" not in font.path, font.family, font.path)

    return tuple(sorted(fonts, key=key))


@cache
def _letters(path: str) -> frozenset[int]:
    try:
        font = FT2Font(path)
        letters = frozenset(font.get_charmap())
    except (OSError, RuntimeError):
        return frozenset()
    if not font.scalable:  # coloured bitmaps of one size, which neither matplotlib nor PIL can scale
        return frozenset()
    if path == _default_font().path:  # bold text must be drawable too
        letters &= frozenset(FT2Font(path.replace("DejaVuSans.ttf", "DejaVuSans-Bold.ttf")).get_charmap())
    return letters


@cache
def _pil_font(path: str, size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(path, size)


def _runs(text: str) -> list[tuple[str, str]]:
    """Parts of a text with the path of the font that draws them."""
    runs: list[tuple[str, str]] = []
    for letter in text:
        if runs and (not _needs_picture(letter) or ord(letter) in _letters(runs[-1][0])):
            runs[-1] = (runs[-1][0], runs[-1][1] + letter)
            continue
        font = font_of(letter) or _default_font()
        runs.append((font.path, letter))
    return runs


def _needs_picture(letter: str) -> bool:
    """Whether a letter is more than a hint how its neighbours are drawn."""
    return unicodedata.category(letter) != "Cf" and not 0xFE00 <= ord(letter) <= 0xFE0F


def _is_drawable(letter: str) -> bool:
    if _is_control(letter):
        return False  # a line break in a name is no line break of the picture
    return not _needs_picture(letter) or font_of(letter) is not None


def _is_control(letter: str) -> bool:
    return unicodedata.category(letter) in ("Cc", "Cs", "Zl", "Zp")


def _escape(letter: str) -> str:
    return f"\\u{ord(letter):04x}" if ord(letter) <= 0xFFFF else f"\\U{ord(letter):08x}"


def _report_missing(letters: str) -> None:
    if not _reported:
        _reported.append(letters)
        print_log(
            f"no installed font has the letters {letters!r} of a name: they are drawn as escapes such as "
            f"{_escape(letters[0])}. Install a font that has them, for instance Google's Noto fonts (Debian, Ubuntu: "
            "apt install fonts-noto-cjk fonts-noto-core), to see them as they are",
            "current",
            logging.WARNING,
        )
