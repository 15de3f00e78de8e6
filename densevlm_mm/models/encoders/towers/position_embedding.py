"""Resizing learned absolute position embeddings to another grid, the way the published encoders were trained."""

import torch
from torch import Tensor, nn

Grid = tuple[int, int]


def resize_position_grid(positions: Tensor, old_grid: Grid, new_grid: Grid) -> Tensor:
    """Resize the position embedding of a grid of patches, bicubic, ``align_corners=False``, no antialiasing.

    timm's own resize antialiases, which moves the global embedding by 4e-2: not the function that CLIPSelf and
    DenseVLM were trained with.

    Args:
        positions: (old_h * old_w, C), row-major, without the entries of class and register tokens.
        old_grid: (old_h, old_w) in cells.
        new_grid: (new_h, new_w) in cells.

    Returns:
        (new_h * new_w, C) float32, contiguous; ``positions`` itself if the grids are equal.
    """
    if not torch.compiler.is_compiling() and old_grid == new_grid:
        return positions
    with torch.autocast(positions.device.type, enabled=False):
        maps = positions.float().reshape(1, *old_grid, -1).permute(0, 3, 1, 2)
        maps = nn.functional.interpolate(maps, size=new_grid, mode="bicubic", align_corners=False, antialias=False)
        return maps.flatten(2)[0].transpose(0, 1).contiguous()


class PositionEmbedding:
    """A learned position embedding that follows the input size; resized once per size while it is frozen.

    Args:
        num_prefix: Leading entries of the table that belong to class and register tokens and are never resized.
        native_grid: (h, w) cells that the remaining entries stand for.
    """

    _MAX_SIZES = 16  # detection tests see many sizes; a 64 x 64 grid of width 1024 takes 17 MB

    def __init__(self, num_prefix: int, native_grid: Grid) -> None:
        self.num_prefix = num_prefix
        self.native_grid = native_grid
        self._resized: dict[tuple[Grid, int, int], Tensor] = {}

    def for_grid(self, table: Tensor, grid: Grid) -> Tensor:
        """Return the table for a grid.

        Args:
            table: (num_prefix + h * w, C) the learned table at its native grid; timm's leading 1 is allowed. It must be
                the parameter itself: a view of it would not tell under ``no_grad`` whether it is frozen.
            grid: (new_h, new_w) in cells.

        Returns:
            (num_prefix + new_h * new_w, C), in the table's dtype.
        """
        rows = table.flatten(0, -2)
        if torch.compiler.is_compiling():  # the grid is symbolic: it cannot be compared or kept
            return self._resize(rows, grid)
        if grid == self.native_grid:
            return rows
        if table.requires_grad or table.is_inference():
            return self._resize(rows, grid)
        # A write through `.data` keeps the version: only loading and optimizers, which do not, may change the table.
        key = (grid, table.data_ptr(), table._version)
        if key not in self._resized:
            self._resized = {k: v for k, v in self._resized.items() if k[1:] == key[1:]}
            if len(self._resized) >= self._MAX_SIZES:
                self._resized.pop(next(iter(self._resized)))
            with torch.inference_mode(False), torch.no_grad():
                self._resized[key] = self._resize(rows, grid)
        return self._resized[key]

    def _resize(self, table: Tensor, grid: Grid) -> Tensor:
        prefix, positions = table[: self.num_prefix], table[self.num_prefix :]
        resized = resize_position_grid(positions, self.native_grid, grid)
        return torch.cat([prefix, resized.to(table.dtype)])

    def __deepcopy__(self, memo: dict) -> "PositionEmbedding":
        return type(self)(self.num_prefix, self.native_grid)  # the cache belongs to the original's table
