"""A legend beside a picture: colour, name and shares of each class, in as many columns as it takes."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw

from densevlm_mm.visualization.fonts import draw_text, drawable, text_width

FONT_SIZE = 15
LINE_HEIGHT = 20
SWATCH = 14
MARGIN = 8
MAX_NAME_WIDTH = 240
SHARE_WIDTH = 50
TITLE_HEIGHT = 28
BLACK, WHITE = (0, 0, 0), (255, 255, 255)


class LegendEntry(NamedTuple):
    """A class in the legend.

    Args:
        name: its name.
        colour: RGB, 0 to 255.
        shares: part of the image that it covers in each map, 0 to 1.
    """

    name: str
    colour: np.ndarray
    shares: np.ndarray


def draw_title(image: np.ndarray, title: str) -> np.ndarray:
    """Put a title above an image (H, W, 3)."""
    banner = Image.new("RGB", (image.shape[1], TITLE_HEIGHT), WHITE)
    draw_text(ImageDraw.Draw(banner), (MARGIN, 4), drawable(title), FONT_SIZE, BLACK)
    return np.concatenate([np.asarray(banner), image])


def wrap(text: str, width: int = MAX_NAME_WIDTH) -> list[str]:
    """Break a drawable name into lines of at most ``width`` pixels, at blanks if it can, within a word if it must."""
    lines = [""]
    for word in text.split():
        joined = f"{lines[-1]} {word}".strip()
        if text_width(joined, FONT_SIZE) <= width:
            lines[-1] = joined
            continue
        if lines[-1]:
            lines.append("")
        for letter in word:
            if text_width(lines[-1] + letter, FONT_SIZE) > width:
                lines.append("")
            lines[-1] += letter
    return lines


def draw_legend(entries: Sequence[LegendEntry], titles: Sequence[str], height: int) -> np.ndarray:
    """Draw the legend.

    Args:
        entries: classes, in the order of the list.
        titles: what the shares are of, one a map.
        height: height that the columns fill, in pixels; a single taller entry makes the panel taller.

    Returns:
        RGB panel (at least ``height``, W, 3) uint8, with everything on it.
    """
    wrapped = [wrap(drawable(entry.name)) for entry in entries]
    columns: list[list[int]] = [[]]
    filled = TITLE_HEIGHT
    for index, lines in enumerate(wrapped):
        needed = len(lines) * LINE_HEIGHT
        if columns[-1] and filled + needed > height - MARGIN:
            columns.append([])
            filled = TITLE_HEIGHT
        columns[-1].append(index)
        filled += needed
        height = max(height, filled + MARGIN)
    name_width = max([_width(line) for lines in wrapped for line in lines], default=0)
    share_widths = [max(SHARE_WIDTH, _width(title) + MARGIN) for title in titles]
    column_width = MARGIN + SWATCH + MARGIN + name_width + sum(share_widths) + MARGIN
    panel = Image.new("RGB", (column_width * len(columns), height), WHITE)
    draw = ImageDraw.Draw(panel)
    for number, column in enumerate(columns):
        left = number * column_width + MARGIN
        ends = left + SWATCH + MARGIN + name_width + np.cumsum(share_widths)
        for title, end in zip(titles, ends, strict=True):
            draw_text(draw, (end, 4), title, FONT_SIZE, BLACK, align="right")
        top = TITLE_HEIGHT
        for index in column:
            _draw_entry(draw, entries[index], wrapped[index], (left, top), ends)
            top += len(wrapped[index]) * LINE_HEIGHT
    return np.asarray(panel)


def _draw_entry(
    draw: ImageDraw.ImageDraw, entry: LegendEntry, lines: list[str], corner: tuple[int, int], ends: np.ndarray
) -> None:
    left, top = corner
    colour = tuple(int(value) for value in entry.colour)
    draw.rectangle((left, top + 2, left + SWATCH, top + 2 + SWATCH), fill=colour, outline=BLACK)
    for row, line in enumerate(lines):
        draw_text(draw, (left + SWATCH + MARGIN, top + row * LINE_HEIGHT), line, FONT_SIZE, BLACK)
    for share, end in zip(entry.shares, ends, strict=True):
        draw_text(draw, (end, top), _percent(share), FONT_SIZE, BLACK, align="right")


def _percent(share: float) -> str:
    if share == 0:
        return "-"
    return "<1%" if share < 0.005 else f"{100 * share:.0f}%"


def _width(text: str) -> int:
    return int(np.ceil(text_width(text, FONT_SIZE)))
