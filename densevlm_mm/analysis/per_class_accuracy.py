"""Accuracy class by class, several encoders side by side."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from mmengine import fileio

from densevlm_mm.analysis.style import axes_in_inches, picture, series_colours, short_name
from densevlm_mm.visualization.fonts import label_texts
from densevlm_mm.vocabulary.class_matching import ClassFinder

_PER_ROW = 40  # classes in a row of bars; more of them continue in the next one


def load_per_class(path: str | Path) -> list[dict[str, Any]]:
    """Read the per-class table that ``tools/test.py --out FILE.json`` writes.

    Returns:
        One dict a class: ``name``, ``is_thing``, ``num_regions``, ``boxes_top1`` and the other accuracies (percent or
        ``None``).

    Raises:
        FileNotFoundError: If it does not exist.
        ValueError: If it is something else.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"there is no per-class file {path}")
    try:
        content = fileio.load(str(path), file_format="json")
    except ValueError as error:
        raise ValueError(f"{path} is not valid JSON ({error})") from error
    rows = content.get("classes") if isinstance(content, dict) else None
    if not isinstance(rows, list) or not rows or not all(isinstance(r, dict) and "masks_s_top1" in r for r in rows):
        raise ValueError(f"{path} is no per-class table: make one with tools/test.py CONFIG CHECKPOINT --out FILE.json")
    return rows


def per_class_table(
    results: Mapping[str, Sequence[Mapping[str, Any]]],
    things_by: str = "masks",
    top: int = 1,
    classes: Sequence[str] | None = None,
) -> list[dict[str, Any]]:
    """Put the accuracies of several encoders into one table.

    Args:
        results: Name of an encoder to its per-class rows, as :func:`load_per_class` gives them.
        things_by: Things by ``'masks'`` (Masks-T) or ``'boxes'`` (Boxes); stuff is always by masks (Masks-S).
        top: 1 or 5.
        classes: Only these, by name; default: all that have regions.

    Returns:
        One dict a class: ``class``, ``is_thing``, ``num_regions`` and the accuracy of each encoder in percent, things
        first, each kind by descending accuracy of the last encoder.

    Raises:
        ValueError: If the files are of different data sets, or ``things_by`` or ``top`` is none of these.
        KeyError: If a class is not there.
    """
    if things_by not in ("masks", "boxes") or top not in (1, 5):
        raise ValueError(f"things are scored by 'masks' or 'boxes', Top-1 or Top-5, not {things_by!r}, Top-{top}")
    first_name, first = next(iter(results.items()))
    for name, rows in results.items():
        if [(r["name"], r["is_thing"], r["num_regions"]) for r in rows] != [
            (r["name"], r["is_thing"], r["num_regions"]) for r in first
        ]:
            raise ValueError(f"{name!r} and {first_name!r} were not evaluated on the same regions")
    chosen = select_classes([row["name"] for row in first], classes)
    thing_key = f"{'masks_t' if things_by == 'masks' else 'boxes'}_top{top}"
    table = []
    for index in chosen:
        row = first[index]
        key = thing_key if row["is_thing"] else f"masks_s_top{top}"
        if row["num_regions"] or classes is not None:
            values = {name: rows[index][key] for name, rows in results.items()}
            table.append(
                {"class": row["name"], "is_thing": bool(row["is_thing"]), "num_regions": row["num_regions"]}
                | {name: float("nan") if value is None else float(value) for name, value in values.items()}
            )
    last = list(results)[-1]
    return sorted(table, key=lambda row: (not row["is_thing"], -np.nan_to_num(row[last], nan=-1.0)))


def select_classes(available: Sequence[str], wanted: Sequence[str] | None) -> list[int]:
    """Positions of classes by name or synonym, in any spelling; all without names.

    Raises:
        KeyError: If a name is not there.
    """
    if wanted is None:
        return list(range(len(available)))
    finder = ClassFinder(available)
    found = {name: finder.find(name) for name in wanted}
    if unknown := [name for name, indices in found.items() if not indices]:
        raise KeyError(f"there is no class {unknown[0]!r}; classes: {', '.join(available)}")
    return sorted({index for indices in found.values() for index in indices})


def plot_per_class_accuracy(
    table: Sequence[Mapping[str, Any]], names: Sequence[str], path: str | Path, title: str = ""
) -> None:
    """Draw bars of every class, things and stuff apart; a dashed line is an encoder's mean over classes.

    Args:
        table: As :func:`per_class_table` gives it.
        names: The encoders, in the order of the bars.
        path: PNG to write.
        title: Heading.
    """
    groups = {
        "things": [row for row in table if row["is_thing"]],
        "stuff": [row for row in table if not row["is_thing"]],
    }
    bands = [
        (group if number == 0 else f"{group} (continued)", part, rows)
        for group, rows in groups.items()
        for number, part in enumerate(_even_parts(rows))
    ]
    slot = 0.16 * len(names) + 0.14  # inches a class
    widest = slot * max((len(band[1]) for band in bands), default=1)
    height = 1.9
    # Under each band there is room for its longest turned name.
    depths = [height + 0.75 + 0.066 * max(len(short_name(row["class"])) for row in band[1]) for band in bands]
    with picture(path, widest, sum(depths) + 0.6) as figure:
        top = 0.6
        for (heading, rows, whole), depth in zip(bands, depths, strict=True):
            _draw_band(figure, (top, height, slot), heading, rows, whole, names)
            top += depth
        handles = [Patch(color=c, label=n) for n, c in zip(names, series_colours(len(names)), strict=True)]
        figure.legend(handles=handles, loc="upper left", bbox_to_anchor=(0, 1), ncols=len(names), borderaxespad=0)
        if title:
            figure.text(0, 1.0, f"{title}\n", fontsize=12, weight="bold", ha="left", va="bottom")


def _even_parts(rows: Sequence[Mapping[str, Any]]) -> list[Sequence[Mapping[str, Any]]]:
    """Consecutive parts of about the same length, at most ``_PER_ROW`` each."""
    size = math.ceil(len(rows) / math.ceil(len(rows) / _PER_ROW)) if rows else 1
    return [rows[start : start + size] for start in range(0, len(rows), size)]


def _draw_band(
    figure: Figure,
    place: tuple[float, float, float],
    heading: str,
    rows: Sequence[Mapping[str, Any]],
    whole: Sequence[Mapping[str, Any]],
    names: Sequence[str],
) -> None:
    """One row of bars: at most ``_PER_ROW`` classes of a kind; ``whole`` are all of the kind, for the means."""
    top, height, slot = place
    axes = axes_in_inches(figure, 0, top, slot * len(rows), height)
    bar = 0.16 / slot
    means = []
    for number, (name, fill) in enumerate(zip(names, series_colours(len(names)), strict=True)):
        values = np.array([row[name] for row in rows], dtype=float)
        positions = np.arange(len(rows)) + (number - (len(names) - 1) / 2) * bar
        axes.bar(positions, np.nan_to_num(values), width=bar * 0.92, color=fill)
        known = [row[name] for row in whole if not math.isnan(row[name])]
        if known:
            mean = sum(known) / len(known)
            axes.axhline(mean, color=fill, linewidth=1.0, linestyle=(0, (4, 3)), zorder=0.5)
            means.append(f"{name} {mean:.1f}")
    axes.set(xlim=(-0.5, len(rows) - 0.5), ylim=(0, 100), ylabel="accuracy, %")
    axes.set_yticks(range(0, 101, 20))
    axes.grid(axis="y")
    axes.set_xticks(range(len(rows)), label_texts([row["class"] for row in rows]), rotation=90)
    axes.tick_params(axis="x", length=0)
    axes.annotate(heading, (0, 1), (0, 6), "axes fraction", "offset points", weight="bold", fontsize=10.5)
    if means and not heading.endswith("(continued)"):
        place_text = (8 * len(heading) + 8, 6)
        axes.annotate(
            "mean: " + ", ".join(means), (0, 1), place_text, "axes fraction", "offset points", color="#444444"
        )
