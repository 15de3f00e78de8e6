"""What a training pipeline makes of an image: the same canvas every time, with grid cells on it, or no cache."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from densevlm_mm.datasets.transforms import GridRegions, PackRegionInputs, PadToSquare, ProposalRegions, grid_pairs
from densevlm_mm.datasets.transforms.geometry import boxes_on_canvas
from densevlm_mm.structures import RegionDataSample

# C cells of the grid mode, R regions of a step.

_NEEDED_META = ("img_shape", "pad_shape")


@dataclass(frozen=True)
class GridPipeline:
    """A pipeline without randomness but for the grid.

    Args:
        transforms: Place and name of every transform to its arguments, for a cache's key.
        grid: The transform that draws the grid.
        pads_later: Whether the canvas is padded after the grid has been drawn.
        data_roots: Root folders of the data sets.
    """

    transforms: dict[str, dict[str, Any]]
    grid: GridRegions
    pads_later: bool
    data_roots: tuple[str, ...]

    @cached_property
    def grid_sizes(self) -> list[int]:
        """Cells of each grid, in the order of the cell ids."""
        return [m * n for m, n in grid_pairs(self.grid.mode, self.grid.max_grid, self.grid.min_grid)]

    @property
    def num_cells(self) -> int:
        """C."""
        return sum(self.grid_sizes)

    def cell_boxes(self, sample: RegionDataSample, cell_ids: Tensor | None = None) -> Tensor:
        """Boxes of cells of an image, to the bit those that the pipeline gives them.

        Args:
            sample: With ``img_shape`` and ``pad_shape``.
            cell_ids: Which cells; default: all.

        Returns:
            (C, 4) float32, x1, y1, x2, y2 as fractions of the canvas.
        """
        ids = slice(None) if cell_ids is None else cell_ids.numpy()
        if not self.pads_later:
            return torch.from_numpy(self.grid.boxes(ids, sample.img_shape, sample.pad_shape))
        boxes = self.grid.boxes(ids, sample.img_shape, sample.img_shape)
        return torch.from_numpy(boxes_on_canvas(boxes, sample.img_shape, sample.pad_shape))

    def check(self, sample: RegionDataSample) -> None:
        """Check that a sample's regions are what their cell ids say.

        Raises:
            ValueError: If they are not.
        """
        regions = sample.regions
        if not torch.equal(self.cell_boxes(sample, regions.cell_ids), regions.boxes_norm_xyxy):
            raise ValueError(
                f"regions of {sample.get('img_path')} are not the grid cells that their cell_ids say: the pipeline "
                "changes boxes in a way that a teacher cache does not know. Leave out the hook's cache."
            )


def grid_pipeline(dataset: Any) -> GridPipeline:
    """Read the pipeline of a training data set, wrapped or concatenated as it may be.

    Raises:
        ValueError: If an image or its boxes may be another time than before, with the reason.
    """
    parts = list(_parts(dataset))
    pipelines = [_read(part) for part in parts]
    if any(pipeline[0] != pipelines[0][0] for pipeline in pipelines):
        raise ValueError("a teacher cache needs one pipeline for all parts of the training data; theirs differ.")
    facts, transforms = pipelines[0]
    grids = [place for place, transform in enumerate(transforms) if isinstance(transform, GridRegions)]
    if len(grids) != 1:
        raise ValueError(f"a teacher cache needs one GridRegions in the training pipeline, which has {len(grids)}.")
    return GridPipeline(
        transforms=facts,
        grid=transforms[grids[0]],
        pads_later=any(isinstance(transform, PadToSquare) for transform in transforms[grids[0] :]),
        data_roots=tuple(dict.fromkeys(str(getattr(part, "data_root", "") or "") for part in parts)),
    )


def _parts(dataset: Any) -> Iterator[Any]:
    if hasattr(dataset, "datasets"):
        for part in dataset.datasets:
            yield from _parts(part)
    elif hasattr(dataset, "dataset"):
        yield from _parts(dataset.dataset)
    else:
        yield dataset


def _read(dataset: Any) -> tuple[dict[str, dict[str, Any]], list[Any]]:
    pipeline = getattr(dataset, "pipeline", None)
    if pipeline is None:
        raise ValueError(f"a teacher cache needs to know the pipeline of the data, and {type(dataset)} shows none.")
    transforms = list(pipeline.transforms)
    names = [f"{place} {type(transform).__name__}" for place, transform in enumerate(transforms)]
    return dict(zip(names, map(_arguments, transforms), strict=True)), transforms


def _arguments(transform: Any) -> dict[str, Any]:
    if isinstance(transform, ProposalRegions):
        raise ValueError(
            "a teacher cache holds the targets of grid cells, and the boxes of ProposalRegions are free: leave out the "
            "hook's cache, or train on GridRegions."
        )
    # Of the class itself: what a subclass does has to be declared anew.
    if "image_arguments" not in vars(type(transform)):
        raise ValueError(
            f"a teacher cache needs images that are the same in every epoch, and {type(transform).__name__} of the "
            "training pipeline may change them at random: leave out the hook's cache, or take the transform out of the "
            "pipeline. (One that always does the same says so by image_arguments, see docs/teacher_cache.md.)"
        )
    if isinstance(transform, PackRegionInputs):
        missing = [key for key in _NEEDED_META if key not in transform.meta_keys]
        if missing:
            raise ValueError(f"a teacher cache needs {missing[0]!r} among the meta_keys of PackRegionInputs.")
    return {argument: getattr(transform, argument) for argument in transform.image_arguments}
