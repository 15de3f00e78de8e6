"""The common look of the pictures: fonts, colours, and how a figure becomes a file."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from densevlm_mm.files import atomic_write
from densevlm_mm.visualization import distinct_colours
from densevlm_mm.visualization.fonts import FAMILY, PLAIN_TEXT, drawable, use_fonts
from densevlm_mm.vocabulary.class_matching import synonyms_of

# Okabe-Ito: told apart by colour-blind readers and in print.
BLACK, ORANGE, SKY_BLUE, GREEN = "#000000", "#E69F00", "#56B4E9", "#009E73"
YELLOW, BLUE, VERMILION, PURPLE = "#F0E442", "#0072B2", "#D55E00", "#CC79A7"
# One colour a checkpoint, in the order given; the first is usually the encoder before training.
SERIES = ("#9A9A9A", BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY_BLUE, YELLOW)
THING, STUFF = BLUE, VERMILION
EMPTY = "#E4E4E4"  # no data
# Perceptually uniform, monotonic in grey, from near-white to black: small values show on an empty background.
MATRIX = "magma_r"

DPI = 150
_RC: dict[Any, Any] = {
    "font.family": FAMILY,
    "font.size": 9.0,
    "axes.titlesize": 11.0,
    "axes.titleweight": "bold",
    "axes.labelsize": 9.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#555555",
    "axes.axisbelow": True,
    "grid.color": "#DDDDDD",
    "grid.linewidth": 0.7,
    "legend.frameon": False,
    "legend.fontsize": 9.0,
    "xtick.color": "#333333",
    "ytick.color": "#333333",
    "image.interpolation": "nearest",
    **PLAIN_TEXT,  # a class may be called "$5"
}


@contextmanager
def picture(path: str | Path, width: float, height: float) -> Iterator[Figure]:
    """Give a figure, and write it as a PNG in the end; its border is placed so that nothing is cut off.

    Args:
        path: File to write; its folder is made.
        width: Inches.
        height: Inches.

    Raises:
        ValueError: If the path does not end in .png.
    """
    if Path(path).suffix != ".png":
        raise ValueError(f"pictures are written as .png, not {Path(path).suffix or 'without suffix'}: {path}")
    with matplotlib.rc_context(_RC):
        figure = Figure(figsize=(width, height))
        FigureCanvasAgg(figure)
        yield figure
        use_fonts(figure)
        with atomic_write(path) as partial:
            figure.savefig(partial, dpi=DPI, bbox_inches="tight", pad_inches=0.12)


def axes_in_inches(figure: Figure, left: float, top: float, width: float, height: float) -> Axes:
    """Add axes at a place counted in inches from the figure's top left corner."""
    total_width, total_height = figure.get_size_inches()
    box = (left / total_width, 1 - (top + height) / total_height, width / total_width, height / total_height)
    return figure.add_axes(box)


def series_colours(count: int) -> list[str]:
    """One colour for each of the compared checkpoints.

    Raises:
        ValueError: If there are more than can be told apart.
    """
    if count > len(SERIES):
        raise ValueError(f"{count} checkpoints are too many for one picture: give at most {len(SERIES)}")
    return list(SERIES[:count])


def text_colour(background: tuple[float, float, float] | str) -> str:
    """Black or white, whichever reads better on a colour."""
    return distinct_colours.text_colour([255 * value for value in to_rgb(background)])


def short_name(name: str, limit: int = 28) -> str:
    """A class name as it stands in a picture: the first synonym, shortened to ``limit`` characters."""
    first = drawable(synonyms_of(name)[0])
    return first if len(first) <= limit else f"{first[: limit - 1]}…"
