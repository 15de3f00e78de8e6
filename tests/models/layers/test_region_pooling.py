import pytest
import torch

from densevlm_mm.models.layers import pool_boxes, pool_masks


def test_box_over_whole_cells_averages_bilinear_samples_inside_it() -> None:
    dense = torch.arange(2 * 1 * 4 * 8, dtype=torch.float32).view(2, 1, 4, 8)
    # Cells (rows 0-1, columns 2-5) of image 0: a linear ramp, whose RoIAlign average is the mean of its cells.
    boxes = [torch.tensor([[2 / 8, 0.0, 6 / 8, 2 / 4]]), torch.zeros(0, 4)]
    assert pool_boxes(dense, boxes).item() == pytest.approx(dense[0, 0, 0:2, 2:6].mean().item())


def test_non_square_map_scales_each_axis() -> None:
    dense = torch.zeros(1, 2, 3, 9)
    dense[0, 0] = torch.arange(9.0)[None] + 0.5  # x of the cell centre
    dense[0, 1] = torch.arange(3.0)[:, None] + 0.5
    box = torch.tensor([[1 / 9, 1 / 3, 7 / 9, 2 / 3]])
    torch.testing.assert_close(pool_boxes(dense, [box]), torch.tensor([[4.0, 1.5]]))


def test_masks_average_their_cells_and_empty_masks_give_zero() -> None:
    dense = torch.randn(2, 5, 4, 4)
    masks = [torch.rand(3, 4, 4) > 0.5, torch.zeros(1, 4, 4, dtype=torch.bool)]
    pooled = pool_masks(dense, masks)
    for i in range(3):
        cells = [dense[0, :, y, x] for y in range(4) for x in range(4) if masks[0][i, y, x]]
        torch.testing.assert_close(pooled[i], torch.stack(cells).mean(0))
    assert pooled[3].abs().max() == 0


def test_mask_on_another_grid_is_an_error_that_names_the_option() -> None:
    with pytest.raises(ValueError, match="feature_stride"):
        pool_masks(torch.randn(1, 5, 4, 4), [torch.ones(1, 8, 8, dtype=torch.bool)])
