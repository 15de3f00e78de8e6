import pytest
import torch

from densevlm_mm.models.layers.cost_aggregation import GuidedSwinBlock, SpatialAggregation, shifted_window_mask


@pytest.mark.parametrize(("size", "window", "shift"), [((8, 8), 4, 2), ((4, 8), 2, 1), ((6, 6), 2, 1)])
def test_windows_shift_and_guidance_follow_the_formulas(reference, size, window, shift):
    module = reference.randomise(SpatialAggregation(8, num_heads=2, window_size=window))
    x, guidance = torch.randn(2, 3, *size, 8), torch.randn(2, *size, 8)
    result = module(x, guidance)
    for image in range(2):
        expected = reference.spatial(module, x[image], guidance[image], window, shift)
        torch.testing.assert_close(result[image], expected, atol=3e-5, rtol=1e-4)


@pytest.mark.parametrize("window", [4, 12])
def test_one_window_over_the_whole_map_is_not_shifted(reference, window):
    module = reference.randomise(SpatialAggregation(8, num_heads=2, window_size=window))
    x, guidance = torch.randn(1, 2, 4, 4, 8), torch.randn(1, 4, 4, 8)
    expected = reference.spatial(module, x[0], guidance[0], window=4, shift=0)
    torch.testing.assert_close(module(x, guidance)[0], expected, atol=3e-5, rtol=1e-4)


def test_mask_separates_cells_that_are_no_neighbours():
    mask = shifted_window_mask((4, 4), window=2, shift=1)
    assert mask.shape == (4, 4, 4)
    assert torch.equal(mask[0], torch.zeros(4, 4))  # rows 1-2, columns 1-2 of the original map
    assert torch.equal(mask[1], torch.tensor([[0, -100, 0, -100], [-100, 0, -100, 0]] * 2).float())  # columns 3 and 0
    assert torch.equal(mask[2], torch.tensor([[0, 0, -100, -100]] * 2 + [[-100, -100, 0, 0]] * 2).float())
    assert torch.equal(mask[3], torch.full((4, 4), -100.0).fill_diagonal_(0))


def test_classes_do_not_see_each_other():
    torch.manual_seed(0)
    module, x, guidance = SpatialAggregation(8, 2, 4), torch.randn(1, 3, 8, 8, 8), torch.randn(1, 8, 8, 8)
    torch.testing.assert_close(module(x, guidance)[:, 1:2], module(x[:, 1:2], guidance))


def test_a_map_that_windows_do_not_tile_is_refused():
    with pytest.raises(ValueError, match="10x10 map cannot be cut into windows of 4"):
        SpatialAggregation(8, 2, 4)(torch.randn(1, 1, 10, 10, 8), torch.randn(1, 10, 10, 8))


def test_parameters_of_the_published_size():
    block = GuidedSwinBlock(128, 4, 12, 0)
    assert sum(p.numel() for p in block.parameters()) == 231_040
