"""All experiments at a glance: the main figures as bars."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from densevlm_mm.analysis.style import BLUE, axes_in_inches, picture
from report.experiments import LABELS
from report.statistics import Spread

_GLANCE = {
    "masks_s_top1": "Masks-S Top-1, %",
    "masks_t_top1": "Masks-T Top-1, %",
    "foreground_bias": "foreground bias, %",
    "offset_control": "offset control, %",
}


def plot_glance(summary: Mapping[str, Mapping[str, Spread]], names: Sequence[str], path: Path) -> None:
    """Draw the main figures of every experiment: a bar for the mean, a dot for every seed.

    Args:
        summary: Experiment -> metric -> spread.
        names: Experiments from top to bottom.
        path: PNG to write.
    """
    width, height, gap = 2.2, 0.27 * len(names), 0.5
    with picture(path, len(_GLANCE) * (width + gap), height + 0.8) as figure:
        for number, (metric, title) in enumerate(_GLANCE.items()):
            axes = axes_in_inches(figure, number * (width + gap), 0.35, width, height)
            for place, name in enumerate(names):
                value = summary[name][metric]
                axes.barh(place, value.mean, height=0.72, color="#B9D3E6")
                axes.plot(value.values, [place] * len(value.values), "o", color=BLUE, markersize=3.2)
                axes.text(103, place, f"{value.mean:.1f}", fontsize=8, ha="left", va="center", color="#333333")
            axes.set(xlim=(0, 100), ylim=(len(names) - 0.5, -0.5))
            axes.set_title(title, loc="left", fontsize=10)
            axes.set_yticks(range(len(names)), [LABELS[name] for name in names] if number == 0 else [])
            axes.tick_params(axis="y", length=0)
            axes.grid(axis="x")
