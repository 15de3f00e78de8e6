"""What an encoder takes the cells of an image for, as the teacher of DenseVLM is asked (the paper's Figure 11)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib import patheffects
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from torch.nn.functional import normalize

from densevlm_mm.analysis.images import CanvasImage
from densevlm_mm.analysis.models import AnalysisModel
from densevlm_mm.analysis.style import STUFF, THING, axes_in_inches, picture, short_name
from densevlm_mm.datasets.transforms import cell_boxes
from densevlm_mm.models.layers import check_retrieval, pool_boxes, retrieve, text_similarity
from densevlm_mm.models.text import ClassEmbeddings

_MISTAKEN = "#E0002A"


@dataclass(frozen=True)
class GridClassification:
    """The best class of every cell of an m x n grid, row by row.

    Args:
        grid: m rows, n columns.
        labels: (m n,) int.
        probabilities: (m n,) softmax value of the best class, over all classes.
        kept: (m n,) bool, the cells that the teacher would keep: probability above theta (Section 3.2).
        classes: Display names of the K classes.
        is_thing: Thing flags (K,), or None.
        is_only_stuff: (m n,) bool, the cells that show nothing but stuff, where that is known; else None.
    """

    grid: tuple[int, int]
    labels: np.ndarray
    probabilities: np.ndarray
    kept: np.ndarray
    classes: tuple[str, ...]
    is_thing: np.ndarray | None
    is_only_stuff: np.ndarray | None = None

    @property
    def called_things(self) -> np.ndarray:
        """(m n,) bool, the cells whose best class is a thing.

        Raises:
            ValueError: If nobody knows which classes are things.
        """
        if self.is_thing is None:
            raise ValueError("the classes have no thing flags, which tell things from stuff")
        return self.is_thing[self.labels]

    @property
    def stuff_called_things(self) -> np.ndarray | None:
        """(m n,) bool, the cells of nothing but stuff that are called a thing; None if that is not known."""
        return None if self.is_only_stuff is None else self.is_only_stuff & self.called_things

    def record(self) -> list[dict[str, Any]]:
        """One dict a cell, for a file."""
        return [
            dict(
                row=index // self.grid[1],
                column=index % self.grid[1],
                name=self.classes[label],
                is_thing=None if self.is_thing is None else bool(self.is_thing[label]),
                probability=float(probability),
                kept=bool(kept),
            )
            for index, (label, probability, kept) in enumerate(
                zip(self.labels, self.probabilities, self.kept, strict=True)
            )
        ]


def grid_boxes(grid: tuple[int, int]) -> np.ndarray:
    """Boxes of the cells of a grid, row by row.

    Args:
        grid: m rows, n columns.

    Returns:
        (m n, 4) float64: x1, y1, x2, y2 as fractions of the image area.

    Raises:
        ValueError: If the grid has no cell.
    """
    rows, columns = grid
    if min(rows, columns) < 1:
        raise ValueError(f"a grid has at least one row and column, not {rows} x {columns}")
    cells = np.divmod(np.arange(rows * columns), columns)
    return cell_boxes(np.column_stack([np.tile(grid, (rows * columns, 1)), *cells]))


def classify_grid(
    model: AnalysisModel,
    image: CanvasImage,
    embeddings: ClassEmbeddings,
    grid: tuple[int, int],
    temperature: float = 0.01,
    threshold: float = 0.3,
) -> GridClassification:
    """Classify the cells of a grid over the image area.

    Args:
        model: Whose encoder is looked at.
        image: On the canvas of the model's config.
        embeddings: K classes.
        grid: m rows, n columns.
        temperature: tau of the softmax.
        threshold: theta; cells with a higher probability are kept.

    Raises:
        ValueError: If the grid has no cell, or temperature or threshold is outside its range.
    """
    check_retrieval(temperature, threshold)
    height, width = image.area
    extent = np.array([width, height, width, height]) / image.side
    boxes_norm_xyxy = torch.from_numpy((grid_boxes(grid) * extent).astype(np.float32))
    dense = model.dense(image.inputs[None])
    features_RD = pool_boxes(dense, [boxes_norm_xyxy])
    text_KD = normalize(embeddings.embeddings, dim=-1).to(features_RD.device)
    retrieval = retrieve(text_similarity(features_RD, text_KD), temperature, threshold)
    labels, probabilities, kept = (part.cpu().numpy() for part in retrieval)
    return GridClassification(grid, labels, probabilities, kept, embeddings.classes, embeddings.is_thing)


def plot_grid_classification(
    rgb: np.ndarray,
    results: Mapping[str, GridClassification],
    path: str | Path,
    threshold: float = 0.3,
) -> None:
    """Draw the grid over the image, a panel a checkpoint; cells that theta would drop are dimmed.

    Cells that are known to show nothing but stuff and are called a thing have a red frame.

    Args:
        rgb: The image, RGB (H, W, 3) uint8.
        results: Name of a checkpoint to what it sees.
        path: PNG to write.
        threshold: theta that the cells were classified with, for the legend.
    """
    height, width = rgb.shape[:2]
    columns = max(result.grid[1] for result in results.values())
    rows = max(result.grid[0] for result in results.values())
    # Cells at least 0.85 x 0.62 inch: room for a name in two lines and a probability.
    scale = max(4.2 / max(height, width), 0.85 * columns / width, 0.62 * rows / height)
    panel_width, panel_height = width * scale, height * scale
    with picture(path, len(results) * (panel_width + 0.2), panel_height + 0.8) as figure:
        for number, (name, result) in enumerate(results.items()):
            axes = axes_in_inches(figure, number * (panel_width + 0.2), 0.4, panel_width, panel_height)
            axes.imshow(rgb, extent=(0, width, height, 0), interpolation="bilinear")
            _draw_cells(axes, result, (height, width), panel_width / result.grid[1])
            axes.set(xlim=(0, width), ylim=(height, 0))
            axes.axis("off")
            kept = 100 * result.kept.mean()
            axes.set_title(f"{name}: {kept:.0f} % of the cells kept", fontsize=10, pad=6, loc="left")
        note = f"p > {threshold:g} is kept, the other cells are dimmed"
        if all(result.is_thing is not None for result in results.values()):
            note += "; blue: things, orange: stuff"
        if any(result.is_only_stuff is not None for result in results.values()):
            note += "\nred frame: only stuff is there, and it is called a thing"
        figure.text(0, 0.4 / (panel_height + 0.8) - 0.02, note, fontsize=8.5, color="#444444", ha="left", va="top")


def _draw_cells(axes: Axes, result: GridClassification, area: tuple[int, int], cell_inches: float) -> None:
    rows, columns = result.grid
    cell_height, cell_width = area[0] / rows, area[1] / columns
    for index, (label, probability, is_kept) in enumerate(
        zip(result.labels, result.probabilities, result.kept, strict=True)
    ):
        left, top = index % columns * cell_width, index // columns * cell_height
        veil = (1, 1, 1, 0.12) if is_kept else (0.93, 0.93, 0.93, 0.78)
        axes.add_patch(
            Rectangle((left, top), cell_width, cell_height, facecolor=veil, edgecolor="white", linewidth=1.2)
        )
        colour = "#777777"
        if is_kept:
            colour = "black" if result.is_thing is None else (THING if result.is_thing[label] else STUFF)
        name = _in_cell(short_name(result.classes[label]), characters=max(6, int(cell_inches / 0.085)))
        longest = max(len(line) for line in name.split("\n"))
        axes.text(
            left + cell_width / 2,
            top + cell_height / 2,
            f"{name}\n{probability:.2f}",
            color=colour,
            fontsize=min(9.0, 100 * cell_inches / longest),
            weight="bold" if is_kept else "normal",
            ha="center",
            va="center",
            linespacing=1.15,
            path_effects=[patheffects.withStroke(linewidth=2.4, foreground="white", alpha=0.95)],
        )
    mistaken = result.stuff_called_things
    for cell in () if mistaken is None else np.flatnonzero(mistaken).tolist():
        corner = (cell % columns * cell_width, cell // columns * cell_height)
        axes.add_patch(Rectangle(corner, cell_width, cell_height, fill=False, edgecolor=_MISTAKEN, linewidth=2.5))


def _in_cell(name: str, characters: int) -> str:
    """Break a name at blanks and hyphens into lines of about so many characters."""
    lines: Sequence[str] = [""]
    for part in name.replace("-", "- ").split():
        glue = "" if not lines[-1] or lines[-1].endswith("-") else " "
        if lines[-1] and len(lines[-1]) + len(glue) + len(part) > characters:
            lines = [*lines, part]
        else:
            lines = [*lines[:-1], lines[-1] + glue + part]
    return "\n".join(lines)
