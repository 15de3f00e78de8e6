"""Which things stuff is taken for: the foreground bias, taken apart."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.patches import Patch

from densevlm_mm.analysis.per_class_accuracy import select_classes
from densevlm_mm.analysis.region_scores import RegionScores
from densevlm_mm.analysis.style import EMPTY, axes_in_inches, picture, short_name, text_colour
from densevlm_mm.models.layers import retrieve
from densevlm_mm.visualization.fonts import label_texts

COLUMNS = ("model", "stuff", "thing", "count", "share", "mean_confidence")
_NAMED = 4  # things a bar names before it says "other things"
_SHADES = [to_hex(matplotlib.colormaps["viridis"](position)) for position in (0.12, 0.36, 0.58, 0.80)]


def foreground_bias_rows(scores: RegionScores, temperature: float = 0.01) -> list[dict[str, Any]]:
    """Count which thing each stuff class is taken for, by masks.

    Args:
        scores: The regions.
        temperature: Tau of the softmax over all K classes whose value is the confidence (Section 3.2).

    Returns:
        One dict for each pair that occurs: ``stuff``, ``thing``, ``count``, ``share`` (percent of the stuff class's
        regions), ``mean_confidence`` (0 to 1); by stuff class, then by descending count.
    """
    is_thing = np.array(scores.vocabulary.thing_mask)
    num_classes = len(is_thing)
    labels, predicted = scores.labels.numpy(), scores.predictions("masks").numpy()
    confidence = retrieve(scores.mask_scores, temperature).confidences.numpy()
    wrong = ~is_thing[labels] & (predicted >= 0) & is_thing[predicted]  # -1 is masked out before it is used
    pairs = labels[wrong] * num_classes + predicted[wrong]
    counts = np.bincount(pairs, minlength=num_classes**2)
    sums = np.bincount(pairs, weights=confidence[wrong], minlength=num_classes**2)
    totals = np.bincount(labels, minlength=num_classes)
    rows = []
    for pair in np.flatnonzero(counts):
        stuff, thing = divmod(int(pair), num_classes)
        rows.append(
            dict(
                stuff=scores.vocabulary.classes[stuff],
                thing=scores.vocabulary.classes[thing],
                count=int(counts[pair]),
                share=float(100.0 * counts[pair] / totals[stuff]),
                mean_confidence=float(sums[pair] / counts[pair]),
            )
        )
    place = {name: label for label, name in enumerate(scores.vocabulary.classes)}
    return sorted(rows, key=lambda row: (place[row["stuff"]], -row["count"]))


def stuff_order(
    scores: RegionScores, rows: Sequence[Mapping[str, Any]], classes: Sequence[str] | None = None
) -> list[str]:
    """Stuff classes that have regions, the most often mistaken first.

    Args:
        scores: The regions.
        rows: Of the encoder that decides, as :func:`foreground_bias_rows` gives them.
        classes: Only these.

    Raises:
        KeyError: If one of them is no stuff class.
    """
    present = set(scores.labels.tolist())
    flags = scores.vocabulary.thing_mask
    stuff = [name for label, name in enumerate(scores.vocabulary.classes) if not flags[label]]
    with_regions = {scores.vocabulary.classes[label] for label in present if not flags[label]}
    chosen = [stuff[index] for index in select_classes(stuff, classes)]
    total = {name: sum(row["share"] for row in rows if row["stuff"] == name) for name in chosen}
    return sorted((name for name in chosen if name in with_regions), key=lambda name: -total[name])


def plot_foreground_bias(
    results: Mapping[str, Sequence[Mapping[str, Any]]],
    stuff: Sequence[str],
    path: str | Path,
    metrics: Mapping[str, Mapping[str, float]] | None = None,
    title: str = "",
) -> None:
    """Draw, for every stuff class and encoder, the shares of the things that it is taken for as a stacked bar.

    Args:
        results: Name of an encoder to its rows, as :func:`foreground_bias_rows` gives them.
        stuff: Stuff classes from top to bottom.
        path: PNG to write.
        metrics: Figures of each encoder (:meth:`RegionScores.evaluate`) that stand over its bars: the bias as a whole,
            its reverse, and what a shift of the thing/stuff boundary alone would give.
        title: Heading.
    """
    row_height, width = 0.30, 4.6
    height = row_height * max(len(stuff), 1)
    with picture(path, len(results) * (width + 0.6), height + 1.4) as figure:
        for number, (name, rows) in enumerate(results.items()):
            axes = axes_in_inches(figure, number * (width + 0.6), 0.85, width, height)
            _draw_panel(axes, rows, stuff)
            axes.set_yticks(range(len(stuff)), label_texts(stuff) if number == 0 else [])
            axes.set_title(name, loc="left", pad=8 if metrics is None else 22)
            if metrics is not None:
                axes.annotate(_summary(metrics[name]), (0, 1), (0, 8), "axes fraction", "offset points", fontsize=8.5)
        ranks = ("most frequent thing (mean confidence)", "second", "third", "fourth", "other things")
        handles = [Patch(color=colour, label=rank) for rank, colour in zip(ranks, [*_SHADES, EMPTY], strict=True)]
        figure.legend(handles=handles, loc="upper left", bbox_to_anchor=(0, 1), ncols=len(ranks), borderaxespad=0)
        if title:
            figure.text(0, 1.0, f"{title}\n", fontsize=12, weight="bold", ha="left", va="bottom")


def _summary(metrics: Mapping[str, float]) -> str:
    return (
        f"stuff called things {metrics['foreground_bias']:.1f} %, things called stuff "
        f"{metrics['things_called_stuff']:.1f} %, offset control {metrics['offset_control']:.1f}"
    )


def _draw_panel(axes: Axes, rows: Sequence[Mapping[str, Any]], stuff: Sequence[str]) -> None:
    for position, name in enumerate(stuff):
        mine = [row for row in rows if row["stuff"] == name]
        rest = sum(row["share"] for row in mine[_NAMED:])
        segments = [(short_name(row["thing"]), row["share"], row["mean_confidence"]) for row in mine[:_NAMED]]
        if rest:
            segments.append(("other things", rest, None))
        left = 0.0
        for rank, (thing, share, confidence) in enumerate(segments):
            colour = EMPTY if confidence is None else _SHADES[rank]
            axes.barh(position, share, left=left, height=0.82, color=colour, edgecolor="white", linewidth=0.8)
            label = _fitting_label(thing, share, confidence)
            axes.text(
                left + share / 2, position, label, fontsize=7, color=text_colour(colour), ha="center", va="center"
            )
            left += share
        total = f"{left:.0f} %" if left else "none"
        if segments and not _fitting_label(*segments[0]):  # the bar is too short to name anything in it
            total += f"  {', '.join(thing for thing, _, _ in segments[:2])}"
        axes.text(left + 1.5, position, total, fontsize=8, color="#333333", ha="left", va="center")
    axes.set(xlim=(0, 112), ylim=(len(stuff) - 0.5, -0.5), xlabel="% of the stuff class's regions")
    axes.set_xticks(range(0, 101, 20))
    axes.grid(axis="x")
    axes.tick_params(axis="y", length=0)


def _fitting_label(thing: str, share: float, confidence: float | None) -> str:
    """As much of the label as fits into a segment; nothing rather than something cut off."""
    candidates = [thing] if confidence is None else [f"{thing} ({confidence:.2f})", thing]
    return next((text for text in candidates if 1.45 * len(text) + 1 <= share), "")
