import pytest
import torch

from densevlm_mm.models.layers import boxes_to_rois, image_indices, pool_boxes, pool_masks


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


def test_boxes_become_rois_in_the_order_of_the_images() -> None:
    boxes = [torch.tensor([[0.0, 0.25, 0.5, 1.0]]), torch.zeros(0, 4), torch.tensor([[0.5, 0.0, 1.0, 0.5]] * 2)]
    rois = boxes_to_rois(boxes, (8, 16), torch.device("cpu"))
    assert rois.tolist() == [[0, 0, 2, 8, 8], [2, 8, 0, 16, 4], [2, 8, 0, 16, 4]]
    assert image_indices([1, 0, 2], torch.device("cpu")).tolist() == [0, 2, 2]


def test_a_grid_of_tokens_is_the_pooling_of_its_parts() -> None:
    dense = torch.randn(2, 3, 8, 8)
    whole = torch.tensor([[0.0, 0.0, 1.0, 0.5]])
    tokens = pool_boxes(dense, [whole, whole], size=2)
    quarters = torch.tensor([[x / 2, y / 4, (x + 1) / 2, (y + 1) / 4] for y in range(2) for x in range(2)])
    parts = pool_boxes(dense, [quarters, quarters]).view(2, 4, 3)
    torch.testing.assert_close(tokens.flatten(2).transpose(1, 2), parts)


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
