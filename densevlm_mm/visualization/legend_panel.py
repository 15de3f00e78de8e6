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
        name: Its name.
        colour: RGB, 0 to 255.
        shares: Part of the image that it covers in each map, 0 to 1.
    """

    name: str
    colour: np.ndarray
    shares: np.ndarray


def draw_title(image: np.ndarray, title: str, scale: float = 1.0) -> np.ndarray:
    """Put a title above an image (H, W, 3); ``scale`` enlarges the letters."""
    banner = Image.new("RGB", (image.shape[1], round(TITLE_HEIGHT * scale)), WHITE)
    corner = (MARGIN * scale, 4 * scale)
    draw_text(ImageDraw.Draw(banner), corner, drawable(title), round(FONT_SIZE * scale), BLACK)
    return np.concatenate([np.asarray(banner), image])


def wrap(text: str, width: float = MAX_NAME_WIDTH, font: int = FONT_SIZE) -> list[str]:
    """Break a drawable name into lines of at most ``width`` pixels, at blanks if it can, within a word if it must."""
    lines = [""]
    for word in text.split():
        joined = f"{lines[-1]} {word}".strip()
        if text_width(joined, font) <= width:
            lines[-1] = joined
            continue
        if lines[-1]:
            lines.append("")
        for letter in word:
            if text_width(lines[-1] + letter, font) > width:
                lines.append("")
            lines[-1] += letter
    return lines


def draw_legend(entries: Sequence[LegendEntry], titles: Sequence[str], height: int, scale: float = 1.0) -> np.ndarray:
    """Draw the legend.

    Args:
        entries: Classes, in the order of the list.
        titles: What the shares are of, one a map.
        height: Height that the columns fill, in pixels; a single taller entry makes the panel taller.
        scale: Enlarges letters and everything else.

    Returns:
        RGB panel (at least ``height``, W, 3) uint8, with everything on it.
    """
    font, line_height = round(FONT_SIZE * scale), round(LINE_HEIGHT * scale)
    margin, swatch, title_height = (round(size * scale) for size in (MARGIN, SWATCH, TITLE_HEIGHT))
    wrapped = [wrap(drawable(entry.name), MAX_NAME_WIDTH * scale, font) for entry in entries]
    columns: list[list[int]] = [[]]
    filled = title_height
    for index, lines in enumerate(wrapped):
        needed = len(lines) * line_height
        if columns[-1] and filled + needed > height - margin:
            columns.append([])
            filled = title_height
        columns[-1].append(index)
        filled += needed
        height = max(height, filled + margin)
    name_width = max([_width(line, font) for lines in wrapped for line in lines], default=0)
    share_widths = [max(round(SHARE_WIDTH * scale), _width(title, font) + margin) for title in titles]
    column_width = margin + swatch + margin + name_width + sum(share_widths) + margin
    panel = Image.new("RGB", (column_width * len(columns), height), WHITE)
    draw = ImageDraw.Draw(panel)
    for number, column in enumerate(columns):
        left = number * column_width + margin
        ends = left + swatch + margin + name_width + np.cumsum(share_widths)
        for title, end in zip(titles, ends, strict=True):
            draw_text(draw, (end, 4 * scale), title, font, BLACK, align="right")
        top = title_height
        for index in column:
            _draw_entry(draw, entries[index], wrapped[index], (left, top), ends, scale)
            top += len(wrapped[index]) * line_height
    return np.asarray(panel)


def _draw_entry(
    draw: ImageDraw.ImageDraw,
    entry: LegendEntry,
    lines: list[str],
    corner: tuple[int, int],
    ends: np.ndarray,
    scale: float,
) -> None:
    left, top = corner
    font, swatch = round(FONT_SIZE * scale), round(SWATCH * scale)
    first = top + 2 * scale
    colour = tuple(int(value) for value in entry.colour)
    draw.rectangle((left, first, left + swatch, first + swatch), fill=colour, outline=BLACK)
    for row, line in enumerate(lines):
        position = (left + swatch + MARGIN * scale, top + row * round(LINE_HEIGHT * scale))
        draw_text(draw, position, line, font, BLACK)
    for share, end in zip(entry.shares, ends, strict=True):
        draw_text(draw, (end, top), _percent(share), font, BLACK, align="right")


def _percent(share: float) -> str:
    if share == 0:
        return "-"
    return "<1%" if share < 0.005 else f"{100 * share:.0f}%"


def _width(text: str, font: int) -> int:
    return int(np.ceil(text_width(text, font)))
