"""Pictures that the analysis tools do not draw: predictions before and after, and all experiments at a glance."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import mmcv
import numpy as np

from densevlm_mm.analysis.style import BLUE, axes_in_inches, picture
from densevlm_mm.report.experiments import LABELS
from densevlm_mm.report.statistics import Spread

_GLANCE = {
    "masks_s_top1": "Masks-S Top-1, %",
    "masks_t_top1": "Masks-T Top-1, %",
    "foreground_bias": "foreground bias, %",
    "offset_control": "offset control, %",
}


def stack_before_after(out: Path, before: Path, after: Path, per_row: int = 4) -> None:
    """Put the same images before and after training above each other.

    Args:
        out: PNG to write.
        before: Folder of drawn images.
        after: Folder with images of the same names.
        per_row: Images in a row.
    """
    names = sorted(path.name for path in before.glob("*.png"))
    rows = []
    for i in range(0, len(names), per_row):
        for title, folder in (("before", before), ("after", after)):
            tiles = [mmcv.imread(str(folder / name)) for name in names[i : i + per_row]]
            tiles += [np.full_like(tiles[0], 255)] * (per_row - len(tiles))
            strip = cv2.hconcat(
                [cv2.copyMakeBorder(tile, 0, 0, 4, 4, cv2.BORDER_CONSTANT, value=(255,) * 3) for tile in tiles]
            )
            header = np.full((44, strip.shape[1], 3), 255, np.uint8)
            text = f"{title} DenseVLM (blue: right, orange: wrong, the true class in brackets)"
            cv2.putText(header, text, (8, 31), cv2.FONT_HERSHEY_SIMPLEX, 0.9, (0, 0, 0), 2, cv2.LINE_AA)
            rows += [header, strip]
    cv2.imwrite(str(out), cv2.vconcat(rows))


def plot_glance(summary: Mapping[str, Mapping[str, Spread]], names: Sequence[str], path: Path) -> None:
    """Draw the main figures of every experiment: a bar for the mean, a dot for every seed.

    Args:
        summary: Experiment -> metric -> spread.
        names: Experiments from top to bottom.
        path: PNG to write.
    """
    width, height, gap = 2.3, 0.27 * len(names), 0.25
    with picture(path, len(_GLANCE) * (width + gap), height + 0.8) as figure:
        for number, (metric, title) in enumerate(_GLANCE.items()):
            axes = axes_in_inches(figure, number * (width + gap), 0.35, width, height)
            for place, name in enumerate(names):
                value = summary[name][metric]
                axes.barh(place, value.mean, height=0.72, color="#B9D3E6")
                axes.plot(value.values, [place] * len(value.values), "o", color=BLUE, markersize=3.2)
                axes.text(98, place, f"{value.mean:.1f}", fontsize=8, ha="right", va="center", color="#333333")
            axes.set(xlim=(0, 100), ylim=(len(names) - 0.5, -0.5))
            axes.set_title(title, loc="left", fontsize=10)
            axes.set_yticks(range(len(names)), [LABELS[name] for name in names] if number == 0 else [])
            axes.tick_params(axis="y", length=0)
            axes.grid(axis="x")
