"""Pictures of the trade-off: dense mean over retrieval and over class Top-1, curves over the ensemble's weights."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.text import Text
from matplotlib.transforms import BboxBase

from densevlm_mm.analysis.style import BLACK, axes_in_inches, picture, series_colours
from densevlm_mm.visualization.label_placement import Rectangle, place_labels

PANELS = {
    "text_to_image_r1": "text to image R@1, %",
    "image_to_text_r1": "image to text R@1, %",
    "class_top1": "class Top-1 of whole images, %",
}
_WIDTH, _HEIGHT, _GAP = 4.6, 3.9, 0.75  # inches
_MARKERS = ("o", "s", "^", "D")  # first block's weight, ascending


def plot_tradeoff(models: Mapping[str, Mapping[str, Any]], path: str | Path, title: str = "") -> None:
    """Draw one line a checkpoint, with alpha at its points where there is room, and the marks to compare it with.

    The marks are the initial model (one, or one a checkpoint if they differ) and *two encoders*: regions from the
    trained one, whole images from the initial one.

    Args:
        models: Name to ``curve`` (dicts of ``alpha`` and figures, see :class:`AlphaSweep`), ``initial`` and
            ``two_encoders`` (figures).
        path: PNG to write.
        title: Heading.
    """
    colours = series_colours(len(models) + 1)[1:]  # grey is the initial model's elsewhere
    with picture(path, *_size(_panels(models))) as figure:
        for number, (key, label) in enumerate(_panels(models).items()):
            axes = axes_in_inches(figure, number * (_WIDTH + _GAP), 0.6, _WIDTH, _HEIGHT)
            _style(axes, label, number)
            labels: list[tuple[str, float, float, str]] = []
            for (_, model), colour in zip(models.items(), colours, strict=True):
                points = [(row[key], row["dense_mean"], row["alpha"]) for row in model["curve"]]
                axes.plot(*zip(*[point[:2] for point in points], strict=True), "-o", color=colour, markersize=4)
                labels += [(f"{alpha:g}", x, y, colour) for x, y, alpha in points if alpha]  # 0 has its own sign
                _mark(axes, model["two_encoders"], key, "*", colour, 13)
            for x, y in {(model["initial"][key], model["initial"]["dense_mean"]) for model in models.values()}:
                axes.plot(x, y, "D", color=BLACK, markersize=7, zorder=4)
            axes.margins(0.10)
            _write_labels(axes, labels)
        handles = [
            Line2D([], [], color=c, marker="o", markersize=4, label=n) for n, c in zip(models, colours, strict=True)
        ]
        handles += [_legend_mark("D", BLACK, 7, "initial model"), _legend_mark("*", "#777777", 12, "two encoders")]
        figure.legend(handles=handles, loc="upper left", bbox_to_anchor=(0, 1), ncols=4, borderaxespad=0)
        if title:
            figure.text(0, 1.0, f"{title}\n", fontsize=12, weight="bold", ha="left", va="bottom")


def plot_by_depth(models: Mapping[str, Mapping[str, Any]], path: str | Path, title: str = "") -> None:
    """Draw ensembles by depth, a row of panels a checkpoint; colours tell the last block's weight, signs the first's.

    Args:
        models: Name to ``by_depth`` (dicts of ``first``, ``last`` and figures) and ``initial``.
        path: PNG to write.
        title: Heading.
    """
    rows = [row for model in models.values() for row in model["by_depth"]]
    firsts, lasts = (sorted({row[key] for row in rows}) for key in ("first", "last"))
    if len(firsts) > len(_MARKERS):
        raise ValueError(f"{len(firsts)} weights of the first block are more than there are signs, {len(_MARKERS)}")
    colour_of = dict(zip(lasts, series_colours(len(lasts)), strict=True))
    sign_of = dict(zip(firsts, _MARKERS, strict=False))
    with picture(path, *_size(_panels(models), len(models))) as figure:
        for line, (name, model) in enumerate(models.items()):
            for number, (key, label) in enumerate(_panels(models).items()):
                top = 0.75 + line * (_HEIGHT + 1.0)
                axes = axes_in_inches(figure, number * (_WIDTH + _GAP), top, _WIDTH, _HEIGHT)
                _style(axes, label, number)
                if number == 0:
                    axes.set_title(name, loc="left")
                for last, colour in colour_of.items():
                    mine = sorted(
                        (row for row in model["by_depth"] if row["last"] == last), key=lambda row: row["first"]
                    )
                    for one, other in pairwise(mine):
                        ends = zip(*[(row[key], row["dense_mean"]) for row in (one, other)], strict=True)
                        axes.plot(*ends, color=colour, linewidth=1)
                    for row in mine:
                        _mark(axes, row, key, sign_of[row["first"]], colour, 7)
                axes.margins(0.08)
        handles = [Line2D([], [], color=colour, label=f"last block {last:g}") for last, colour in colour_of.items()]
        handles += [_legend_mark(sign, "#777777", 7, f"first block {first:g}") for first, sign in sign_of.items()]
        figure.legend(handles=handles, loc="upper left", bbox_to_anchor=(0, 1), ncols=4, borderaxespad=0)
        if title:
            figure.text(0, 1.0, f"{title}\n", fontsize=12, weight="bold", ha="left", va="bottom")


def _panels(models: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    return {key: label for key, label in PANELS.items() if all(key in model["initial"] for model in models.values())}


def _size(panels: Mapping[str, str], rows: int = 1) -> tuple[float, float]:
    return len(panels) * (_WIDTH + _GAP), 0.75 + rows * (_HEIGHT + 1.0)


def _style(axes: Axes, label: str, number: int) -> None:
    axes.set_xlabel(label)
    if number == 0:
        axes.set_ylabel("dense mean (Boxes, Masks-T, Masks-S Top-1), %")
    axes.grid()


def _mark(axes: Axes, figures: Mapping[str, float], key: str, sign: str, colour: str, size: float) -> None:
    axes.plot(
        figures[key], figures["dense_mean"], sign, color=colour, markersize=size, markeredgecolor="white", zorder=5
    )


def _legend_mark(sign: str, colour: str, size: float, label: str) -> Line2D:
    return Line2D([], [], color=colour, marker=sign, markersize=size, linestyle="none", label=label)


def _write_labels(axes: Axes, labels: Sequence[tuple[str, float, float, str]]) -> None:
    """Write texts beside their points, over no sign, line or other text; those without room are left out."""
    axes.set(xlim=axes.get_xlim(), ylim=axes.get_ylim())  # as the points want it, whatever the texts would
    renderer = axes.figure.canvas.get_renderer()  # type: ignore[attr-defined]
    frame = axes.get_window_extent(renderer)
    to_picture = axes.transData.transform  # pixels from the bottom left, while places count from the top left
    taken: list[Rectangle] = []
    for line in axes.lines:
        half = float(line.get_markersize()) / 2 * axes.figure.dpi / 72 + 2  # type: ignore[union-attr]
        places_XY = to_picture(line.get_xydata())
        taken += [_square(frame, place, half) for place in places_XY]
        if line.get_linestyle() != "None":
            for start, end in pairwise(places_XY):
                steps = np.linspace(start, end, int(np.abs(end - start).max() / 3) + 2)
                taken += [_square(frame, place, 1.0) for place in steps]
    sizes, anchors = [], []
    texts: list[Text] = []
    for text, x, y, colour in labels:
        drawn = axes.text(x, y, text, fontsize=7.5, color=colour, ha="left", va="bottom")
        box = drawn.get_window_extent(renderer)
        sizes.append((box.width + 2, box.height + 1))
        anchors.append(_square(frame, to_picture((x, y)), 6.0))
        texts.append(drawn)
    places = place_labels(sizes, anchors, (frame.width, frame.height), taken)
    for drawn, place in zip(texts, places, strict=True):
        if place is None:
            drawn.remove()
            continue
        x, y = axes.transData.inverted().transform((frame.x0 + place[0] + 1, frame.y1 - place[3]))
        drawn.set_position((float(x), float(y)))


def _square(frame: BboxBase, place: np.ndarray, half: float) -> Rectangle:
    """A square around a place in pixels of the figure, counted from the top left of the axes."""
    left, top = float(place[0] - frame.x0), float(frame.y1 - place[1])
    return left - half, top - half, left + half, top + half
