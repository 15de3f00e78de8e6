"""Random grids of image regions, the regions that DenseVLM trains on."""

from functools import lru_cache

import numpy as np
from mmcv.transforms import BaseTransform

from densevlm_mm.datasets.transforms.geometry import boxes_on_canvas
from densevlm_mm.registry import TRANSFORMS

GRID_MODES = ("balanced", "all")


@lru_cache
def grid_pairs(mode: str, max_grid: int, min_grid: int = 2) -> tuple[tuple[int, int], ...]:
    """Grid shapes to draw from.

    Args:
        mode: ``all`` is every (m, n) with ``min_grid <= m, n <= max_grid``, the paper's text; ``balanced`` leaves out
            the elongated ones: for each m only n from ``(m + 1) // 2 + 1`` to ``min(2 * m, max_grid)``, with which
            the published weights were trained.
        max_grid: Most cells along a side, the paper's M.
        min_grid: Fewest cells along a side.

    Returns:
        Pairs (m rows, n columns) in ascending order.

    Raises:
        ValueError: Unknown mode, or bounds that leave no grid.
    """
    if mode not in GRID_MODES:
        raise ValueError(f"grid mode must be one of {GRID_MODES}, not {mode!r}")
    if min_grid < 1 or max_grid < min_grid:
        raise ValueError(f"need 1 <= min_grid <= max_grid, not min_grid={min_grid}, max_grid={max_grid}")
    sides = range(min_grid, max_grid + 1)
    pairs = tuple((m, n) for m in sides for n in sides if mode == "all" or (m + 1) // 2 + 1 <= n <= 2 * m)
    if not pairs:
        raise ValueError(f"no {mode!r} grid has between {min_grid} and {max_grid} cells along both sides")
    return pairs


@lru_cache
def cell_table(mode: str, max_grid: int, min_grid: int = 2) -> np.ndarray:
    """Every cell that a grid of this mode can have; its position in the table is its cell id.

    With a frozen teacher and no augmentation, (image id, cell id) addresses a region's targets.

    Args:
        mode: See :func:`grid_pairs`.
        max_grid: Most cells along a side.
        min_grid: Fewest cells along a side.

    Returns:
        (cells, 4) int64, read-only: m rows, n columns, row, column. Grid after grid, each row by row.
    """
    table = np.concatenate(
        [
            np.column_stack([np.tile((m, n), (m * n, 1)), *np.divmod(np.arange(m * n), n)])
            for m, n in grid_pairs(mode, max_grid, min_grid)
        ]
    ).astype(np.int64)
    table.flags.writeable = False
    return table


def num_cells(mode: str, max_grid: int, min_grid: int = 2) -> int:
    """Number of distinct cells: 309 for ``balanced`` and 400 for ``all`` at ``max_grid=6``.

    Args:
        mode: See :func:`grid_pairs`.
        max_grid: Most cells along a side.
        min_grid: Fewest cells along a side.
    """
    return len(cell_table(mode, max_grid, min_grid))


def cell_boxes(table: np.ndarray) -> np.ndarray:
    """Boxes of cells as fractions of the image area; neighbours share their edge exactly.

    Args:
        table: (cells, 4) as from :func:`cell_table`.

    Returns:
        (cells, 4) float64: x1, y1, x2, y2 in [0, 1].
    """
    m, n, row, col = table.T
    return np.column_stack([col / n, row / m, (col + 1) / n, (row + 1) / m])


@TRANSFORMS.register_module()
class GridRegions(BaseTransform):
    """Cut the image area (not the padding) into a random grid of m x n equal regions.

    The grid is drawn uniformly from :func:`grid_pairs` with numpy's global generator, unless ``results['grid']``
    holds (m, n).

    It may stand before or after PadToSquare, which brings the boxes into its frame.

    Adds ``regions``: ``boxes_norm_xyxy`` (R, 4) float32 as fractions of the (padded) canvas, ``cell_ids`` (R,) int64;
    row by row, R = m n.

    Args:
        mode: ``balanced`` or ``all``, see :func:`grid_pairs`.
        max_grid: Most cells along a side, the paper's M.
        min_grid: Fewest cells along a side.

    Raises:
        ValueError: See :func:`grid_pairs`; or ``results['grid']`` is not a grid of this mode.
    """

    image_arguments: tuple[str, ...] = ("mode", "max_grid", "min_grid")  # docs/teacher_cache.md

    def __init__(self, mode: str = "balanced", max_grid: int = 6, min_grid: int = 2) -> None:
        self.mode = mode
        self.max_grid = max_grid
        self.min_grid = min_grid
        self.pairs = grid_pairs(mode, max_grid, min_grid)
        self._boxes = cell_boxes(cell_table(mode, max_grid, min_grid))
        self._starts = np.cumsum([0, *(m * n for m, n in self.pairs)])

    def transform(self, results: dict) -> dict:
        """Add the regions.

        Args:
            results: Must hold ``img_shape``, and ``pad_shape`` if padded.

        Returns:
            ``results`` with ``regions``.
        """
        pair = self._choose(results.get("grid"))
        start, stop = self._starts[pair], self._starts[pair + 1]
        img_shape = results["img_shape"]
        results["regions"] = dict(
            boxes_norm_xyxy=self.boxes(slice(start, stop), img_shape, results.get("pad_shape", img_shape)),
            cell_ids=np.arange(start, stop, dtype=np.int64),
        )
        return results

    def boxes(self, cell_ids: slice | np.ndarray, img_shape: tuple[int, int], pad_shape: tuple[int, int]) -> np.ndarray:
        """Boxes of cells on a canvas.

        Args:
            cell_ids: Which cells.
            img_shape: Height and width of the image area.
            pad_shape: Height and width of the canvas, with its padding.

        Returns:
            (cells, 4) float32: x1, y1, x2, y2 as fractions of the canvas.
        """
        return boxes_on_canvas(self._boxes[cell_ids], img_shape, pad_shape)

    def _choose(self, grid: tuple[int, int] | None) -> int:
        if grid is None:
            return np.random.randint(len(self.pairs))
        if tuple(grid) not in self.pairs:
            raise ValueError(f"grid {tuple(grid)} is none of mode {self.mode!r}, which has {self.pairs}")
        return self.pairs.index(tuple(grid))

    def __repr__(self) -> str:
        """Show the arguments."""
        return f"GridRegions(mode={self.mode!r}, max_grid={self.max_grid}, min_grid={self.min_grid})"
