"""Which class annotated regions are taken for (the paper's Figures 7-10)."""

from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes

from densevlm_mm.analysis.region_scores import RegionScores
from densevlm_mm.analysis.style import EMPTY, MATRIX, STUFF, THING, axes_in_inches, picture, text_colour
from densevlm_mm.visualization.fonts import label_texts
from densevlm_mm.vocabulary import Vocabulary


def confusion_counts(labels: np.ndarray, predicted: np.ndarray, num_classes: int) -> np.ndarray:
    """Count pairs of annotated and predicted class.

    Args:
        labels: (N,) int, 0 to K - 1.
        predicted: (N,) int, 0 to K - 1, or -1 for none.
        num_classes: K.

    Returns:
        (K, K + 1) int64: row = annotated class, column = predicted class; the last column counts regions without a
        prediction.
    """
    columns = np.where(predicted < 0, num_classes, predicted)
    pairs = labels.astype(np.int64) * (num_classes + 1) + columns
    return np.bincount(pairs, minlength=num_classes * (num_classes + 1)).reshape(num_classes, num_classes + 1)


def row_shares(counts: np.ndarray) -> np.ndarray:
    """Percent of each annotated class's regions, so that the diagonal is the per-class accuracy; NaN without regions.

    Args:
        counts: (K, K + 1), see :func:`confusion_counts`.

    Returns:
        (K, K) percent.
    """
    totals = counts.sum(axis=1, keepdims=True)
    shares = np.full(counts.shape, np.nan)
    np.divide(100.0 * counts, totals, out=shares, where=totals > 0)
    return shares[:, :-1]


def region_confusion(scores: RegionScores, by: str = "masks") -> np.ndarray:
    """Confusion counts of all regions of a data set, see :func:`confusion_counts`.

    Args:
        scores: The regions.
        by: ``'masks'`` or ``'boxes'`` (for stuff the extent of its mask).
    """
    return confusion_counts(scores.labels.numpy(), scores.predictions(by).numpy(), len(scores.vocabulary))


def confusion_record(counts: np.ndarray, vocabulary: Vocabulary, num_pairs: int = 20) -> dict[str, Any]:
    """What the JSON file holds: the counts, and the most frequent confusions as shares of their class.

    Args:
        counts: (K, K + 1), see :func:`confusion_counts`.
        vocabulary: The K classes.
        num_pairs: How many confusions to list.
    """
    shares = row_shares(counts)
    off_diagonal = np.nan_to_num(shares)
    np.fill_diagonal(off_diagonal, 0)
    order = np.argsort(-off_diagonal, axis=None, kind="stable")[:num_pairs]
    pairs = [divmod(int(index), len(vocabulary)) for index in order]
    return dict(
        classes=list(vocabulary.classes),
        is_thing=vocabulary.thing_mask.tolist(),
        counts=counts[:, :-1].tolist(),
        without_prediction=counts[:, -1].tolist(),
        top_confusions=[
            dict(
                annotated=vocabulary.classes[row],
                predicted=vocabulary.classes[column],
                share=float(shares[row, column]),
                count=int(counts[row, column]),
            )
            for row, column in pairs
            if off_diagonal[row, column] > 0
        ],
    )


def plot_confusion(counts: np.ndarray, vocabulary: Vocabulary, path: str | Path, title: str = "") -> None:
    """Draw row-normalised confusions, things before stuff, with the border between them.

    The picture grows with the number of classes so that every label stays readable; up to 40 classes cells hold their
    percentage.

    Args:
        counts: (K, K + 1), see :func:`confusion_counts`.
        vocabulary: The K classes, with thing flags.
        path: PNG to write.
        title: Heading.
    """
    order = np.argsort(~vocabulary.thing_mask, kind="stable")
    shares = row_shares(counts)[np.ix_(order, order)]
    num_classes, num_things = len(vocabulary), vocabulary.num_things
    if num_classes > 40:
        cell = min(0.17, 60.0 / num_classes)  # inches; hardly readable above 350 classes, but no picture of 10 m^2
    else:
        cell = max(0.33, min(1.0, 3.3 / num_classes))
    side, font = cell * num_classes, min(9.0, 60 * cell)
    with picture(path, side + 1.5, side + 1.0) as figure:
        axes = axes_in_inches(figure, 0, 1.0, side, side)
        colours = matplotlib.colormaps[MATRIX].with_extremes(bad=EMPTY, under="white")
        image = axes.imshow(np.ma.masked_invalid(shares), cmap=colours, vmin=1e-6, vmax=100)  # white: not one region
        axes.set_xticks(np.arange(num_classes + 1) - 0.5, minor=True)
        axes.set_yticks(np.arange(num_classes + 1) - 0.5, minor=True)
        axes.grid(which="minor", color="#EFEFEF", linewidth=0.5)
        texts = label_texts(vocabulary.classes)
        names = [texts[label] for label in order]
        axes.set_xticks(range(num_classes), names, rotation=90, fontsize=font)
        axes.set_yticks(range(num_classes), names, fontsize=font)
        axes.tick_params(which="both", length=0, pad=3)
        for spine in axes.spines.values():
            spine.set_visible(False)
        for labels in (axes.get_xticklabels(), axes.get_yticklabels()):
            for position, label in enumerate(labels):
                label.set_color(THING if position < num_things else STUFF)
        _draw_groups(axes, num_classes, num_things, max(9.0, min(side, 16)))
        if num_classes <= 40:
            _write_shares(axes, shares, image.cmap)
        axes.set_xlabel("predicted class", fontsize=max(10.0, min(side, 16)), labelpad=8)
        axes.set_ylabel("annotated class", fontsize=max(10.0, min(side, 16)), labelpad=8)
        if title:
            axes.set_title(title, fontsize=max(11.0, min(1.2 * side, 20)), pad=22 + 1.2 * min(side, 16), loc="left")
        bar = axes_in_inches(figure, side + 0.6, 1.0, max(0.18, 0.012 * side), max(min(side, 4.0), side / 4))
        figure.colorbar(image, cax=bar, ticks=[image.norm.vmin, 20, 40, 60, 80, 100])
        bar.set_yticklabels([str(percent) for percent in range(0, 101, 20)])
        bar.set_ylabel("% of the annotated class's regions", fontsize=max(9.5, min(side, 14)))
        bar.tick_params(labelsize=max(9.0, min(side, 13)))


def _draw_groups(axes: Axes, num_classes: int, num_things: int, font: float) -> None:
    """The border between things and stuff, and what lies on its sides."""
    if 0 < num_things < num_classes:
        for line in (axes.axhline, axes.axvline):
            line(num_things - 0.5, color="black", linewidth=1.2)
    groups = (("things", THING, 0, num_things), ("stuff", STUFF, num_things, num_classes))
    for name, colour, start, stop in groups:
        if stop > start:
            middle = (start + stop - 1) / 2
            style: dict[str, Any] = dict(color=colour, fontsize=font, weight="bold", ha="center", va="center")
            axes.annotate(name, (middle, 1), (0, 10), ("data", "axes fraction"), "offset points", **style)
            axes.annotate(name, (1, middle), (12, 0), ("axes fraction", "data"), "offset points", rotation=270, **style)


def _write_shares(axes: Axes, shares: np.ndarray, colours: matplotlib.colors.Colormap) -> None:
    for row, column in np.argwhere(np.nan_to_num(shares) >= 0.5).tolist():
        share = shares[row, column]
        colour = text_colour(colours(share / 100)[:3])
        axes.text(column, row, f"{share:.0f}", color=colour, fontsize=6.5, ha="center", va="center")
    for row in np.flatnonzero(np.isnan(shares).all(axis=1)).tolist():
        axes.text(0, row, "no region", color="#777777", fontsize=6.5, ha="left", va="center")
