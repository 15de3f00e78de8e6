"""Cells of a pipeline are to the bit those that the pipeline itself draws; pipelines that draw more are refused."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.dataset import Compose, ConcatDataset
from mmengine.registry import init_default_scope

from densevlm_mm.datasets import SeededDataset
from densevlm_mm.datasets.transforms import GridRegions, grid_pairs
from densevlm_mm.engine.teacher_cache.grid_pipeline import grid_pipeline
from densevlm_mm.registry import TRANSFORMS

RESIZE, GRID, PAD = dict(type="ResizeLongestSide", size=64), dict(type="GridRegions"), dict(type="PadToSquare", size=64)
PACK = dict(type="PackRegionInputs")


class Images:
    """A data set of one image."""

    def __init__(self, *transforms: dict, data_root: str = "data") -> None:
        init_default_scope("densevlm_mm")
        self.pipeline = Compose(list(transforms))
        self.data_root = data_root

    def sample(self, height: int, width: int, grid: tuple[int, int]):
        img = np.zeros((height, width, 3), dtype=np.uint8)
        facts = dict(img=img, img_shape=(height, width), ori_shape=(height, width), sample_idx=0, img_id=0, grid=grid)
        results = dict(facts, img_path="1.png")
        for transform in self.pipeline.transforms:
            results = transform(results)
        return results["data_samples"]


@pytest.mark.parametrize(
    "order", [(RESIZE, GRID, PAD, PACK), (RESIZE, PAD, GRID, PACK)], ids=["grid first", "pad first"]
)
def test_cells_are_to_the_bit_those_of_every_grid(order) -> None:
    images = Images(*order)
    pipeline = grid_pipeline(images)
    assert pipeline.num_cells == 309
    for height, width in ((64, 64), (37, 64), (480, 641), (1000, 3)):
        start = 0
        for grid in grid_pairs("balanced", 6):
            sample = images.sample(height, width, grid)
            regions = sample.regions
            assert regions.cell_ids[0] == start
            assert torch.equal(pipeline.cell_boxes(sample)[regions.cell_ids], regions.boxes_norm_xyxy)
            pipeline.check(sample)
            start += len(regions)
        assert start == 309
    sample.regions.boxes_norm_xyxy[0, 2] += 1e-6
    with pytest.raises(ValueError, match=r"1\.png are not the grid cells"):
        pipeline.check(sample)


def test_wrapped_and_joined_data_sets_are_read() -> None:
    parts = [Images(RESIZE, GRID, PAD, PACK, data_root=root) for root in ("a", "b")]
    joined = ConcatDataset.__new__(ConcatDataset)
    joined.datasets = parts
    wrapped = SeededDataset.__new__(SeededDataset)
    wrapped.dataset = joined
    pipeline = grid_pipeline(wrapped)
    assert pipeline.data_roots == ("a", "b")
    assert list(pipeline.transforms) == ["0 ResizeLongestSide", "1 GridRegions", "2 PadToSquare", "3 PackRegionInputs"]
    assert pipeline.transforms["0 ResizeLongestSide"] == dict(size=64, interpolation="bicubic", antialias=True)
    joined.datasets = [parts[0], Images(dict(RESIZE, antialias=False), GRID, PAD, PACK)]
    with pytest.raises(ValueError, match="one pipeline for all parts"):
        grid_pipeline(wrapped)


class JitteredGrid(GridRegions):
    """Inherits image_arguments, and moves its cells."""


@pytest.mark.parametrize(
    ("transforms", "message"),
    [
        ([RESIZE, dict(type="mmcv.RandomFlip", prob=0.5), GRID, PAD, PACK], "RandomFlip .* at random"),
        ([RESIZE, dict(type="JitteredGrid"), PAD, PACK], "JitteredGrid .* at random"),
        ([RESIZE, dict(type="ProposalRegions"), PAD, PACK], "boxes of ProposalRegions are free"),
        ([RESIZE, PAD, PACK], "one GridRegions .* has 0"),
        ([RESIZE, GRID, PAD, dict(type="PackRegionInputs", meta_keys=["img_path"])], "'img_shape' among the meta_keys"),
    ],
)
def test_what_may_differ_from_epoch_to_epoch_is_refused(transforms, message) -> None:
    with TRANSFORMS.switch_scope_and_registry("densevlm_mm"):
        TRANSFORMS.register_module(module=JitteredGrid, force=True)
    try:
        with pytest.raises(ValueError, match=message):
            grid_pipeline(Images(*transforms))
    finally:
        TRANSFORMS.module_dict.pop("JitteredGrid")


def test_a_data_set_without_a_pipeline_is_refused() -> None:
    with pytest.raises(ValueError, match="pipeline of the data"):
        grid_pipeline(SimpleNamespace())
