import numpy as np
import pytest
import torch
from torchvision.ops import box_area, box_iou  # independent geometry

from densevlm_mm.datasets.transforms import GridRegions, PadToSquare, cell_table, grid_pairs, num_cells


def results_of(img_shape=(48, 64), **kwargs):
    return dict(img_shape=img_shape, pad_shape=(64, 64), **kwargs)


def test_numbers_of_pairs_and_cells():
    assert len(grid_pairs("balanced", 6)) == 17
    assert num_cells("balanced", 6) == 309
    assert len(grid_pairs("all", 6)) == 25
    assert num_cells("all", 6) == 400
    assert grid_pairs("balanced", 4) == ((2, 2), (2, 3), (2, 4), (3, 3), (3, 4), (4, 3), (4, 4))


def test_cell_ids_are_positions_in_the_table():
    table = cell_table("balanced", 6)
    assert len({tuple(row) for row in table}) == len(table)
    assert not table.flags.writeable
    transform = GridRegions("balanced", 6)
    for grid in grid_pairs("balanced", 6):
        regions = transform(results_of(grid=grid))["regions"]
        rows = table[regions["cell_ids"]]
        expected = [(*grid, row, column) for row in range(grid[0]) for column in range(grid[1])]
        assert [tuple(row) for row in rows] == expected
        for (_, _, row, column), box in zip(rows, regions["boxes_norm_xyxy"], strict=True):
            cell = (column / grid[1], row / grid[0] * 0.75, (column + 1) / grid[1], (row + 1) / grid[0] * 0.75)
            assert box == pytest.approx(cell, abs=1e-6)


@pytest.mark.parametrize("img_shape", [(48, 64), (64, 1), (1, 64), (64, 64), (37, 64)])
@pytest.mark.parametrize("mode", ["balanced", "all"])
def test_cells_tile_the_image_area(img_shape, mode):
    for _ in range(20):
        regions = GridRegions(mode)(results_of(img_shape))["regions"]
        boxes = torch.from_numpy(regions["boxes_norm_xyxy"])
        assert boxes.dtype == torch.float32
        assert regions["cell_ids"].dtype == np.int64
        assert box_area(boxes.double()).sum() == pytest.approx(img_shape[0] * img_shape[1] / 64**2, rel=1e-5)
        assert (box_iou(boxes, boxes).fill_diagonal_(0) < 1e-6).all()
        assert boxes[:, 2].max() == np.float32(img_shape[1] / 64)
        assert boxes[:, 3].max() == np.float32(img_shape[0] / 64)
        for low, high in ((0, 2), (1, 3)):  # neighbours share their edge exactly
            inner = set(boxes[:, low].tolist()) - {0.0}
            assert inner <= set(boxes[:, high].tolist())


def test_all_grids_come_up_equally_often():
    np.random.seed(0)
    transform = GridRegions("balanced", 6)
    starts = [transform(results_of())["regions"]["cell_ids"][0] for _ in range(1700)]
    counts = np.unique(starts, return_counts=True)[1]
    assert len(counts) == 17
    assert 60 < counts.min() <= counts.max() < 145


def test_drawn_from_numpys_global_generator():
    np.random.seed(3)
    first = GridRegions()(results_of())["regions"]["cell_ids"]
    np.random.seed(3)
    np.testing.assert_array_equal(GridRegions()(results_of())["regions"]["cell_ids"], first)


def test_may_stand_before_the_padding():
    img = np.zeros((48, 64, 3), np.uint8)
    before = PadToSquare(64)(GridRegions()(dict(img=img, img_shape=(48, 64), grid=(3, 4))))
    after = GridRegions()(PadToSquare(64)(dict(img=img, img_shape=(48, 64), grid=(3, 4))))
    np.testing.assert_allclose(before["regions"]["boxes_norm_xyxy"], after["regions"]["boxes_norm_xyxy"], rtol=1e-6)


def test_impossible_grids_are_errors():
    with pytest.raises(ValueError, match="not 'square'"):
        GridRegions("square")
    with pytest.raises(ValueError, match="min_grid=5, max_grid=4"):
        GridRegions(max_grid=4, min_grid=5)
    with pytest.raises(ValueError, match="no 'balanced' grid"):
        GridRegions(max_grid=1, min_grid=1)
    with pytest.raises(ValueError, match=r"grid \(6, 2\) is none of mode 'balanced'"):
        GridRegions()(results_of(grid=(6, 2)))
