import torch
from torch import nn
from torch.nn.functional import interpolate

from densevlm_mm.models.encoders.towers.position_embedding import PositionEmbedding, resize_position_grid


def test_resize_is_bicubic_without_antialiasing():
    table = torch.randn(6 * 4, 8)
    maps = table.reshape(6, 4, 8).permute(2, 0, 1)[None]
    for grid in ((3, 9), (2, 2), (11, 5)):
        plain = interpolate(maps, grid, mode="bicubic", align_corners=False, antialias=False)
        found = resize_position_grid(table, (6, 4), grid)
        torch.testing.assert_close(found, plain[0].permute(1, 2, 0).flatten(0, 1), atol=0, rtol=0)
    antialiased = interpolate(maps, (2, 2), mode="bicubic", align_corners=False, antialias=True)
    assert (
        resize_position_grid(table, (6, 4), (2, 2)) - antialiased[0].permute(1, 2, 0).flatten(0, 1)
    ).abs().max() > 0.1


def test_prefix_entries_are_not_resized_and_the_native_grid_is_exact():
    table = torch.randn(1 + 9, 4)
    positions = PositionEmbedding(num_prefix=1, native_grid=(3, 3))
    assert torch.equal(positions.for_grid(table, (3, 3)), table)
    assert torch.equal(positions.for_grid(table, (5, 4))[0], table[0])


def test_a_frozen_table_is_resized_once_until_it_changes():
    table = nn.Parameter(torch.randn(9, 4), requires_grad=False)
    positions = PositionEmbedding(num_prefix=0, native_grid=(3, 3))
    first = positions.for_grid(table, (4, 4))
    assert positions.for_grid(table, (4, 4)) is first
    with torch.no_grad():
        table.add_(1.0)
    torch.testing.assert_close(positions.for_grid(table, (4, 4)), first + 1.0)


def test_a_learning_table_is_never_remembered():
    """Weights swapped in through `.data` (averaging, ensembling) would otherwise go unnoticed."""
    table = nn.Parameter(torch.randn(1, 9, 4))
    positions = PositionEmbedding(num_prefix=0, native_grid=(3, 3))
    with torch.no_grad():
        first = positions.for_grid(table, (4, 4)).clone()
        table.data.add_(1.0)
        torch.testing.assert_close(positions.for_grid(table, (4, 4)), first + 1.0)


def test_a_learning_table_gets_its_gradient_every_time():
    table = nn.Parameter(torch.randn(9, 4))
    positions = PositionEmbedding(num_prefix=0, native_grid=(3, 3))
    for _ in range(2):
        table.grad = None
        positions.for_grid(table, (4, 4)).sum().backward()
        torch.testing.assert_close(table.grad.sum(), torch.tensor(64.0))


def test_resizing_stays_in_float32_under_autocast_and_in_half_precision():
    table = torch.randn(9, 4)
    expected = resize_position_grid(table, (3, 3), (5, 5))
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(resize_position_grid(table, (3, 3), (5, 5)), expected)
    assert resize_position_grid(table.bfloat16(), (3, 3), (5, 5)).dtype == torch.float32


def test_a_table_resized_in_inference_mode_serves_training():
    table = nn.Parameter(torch.randn(9, 4), requires_grad=False)
    positions = PositionEmbedding(num_prefix=0, native_grid=(3, 3))
    with torch.inference_mode():
        positions.for_grid(table, (4, 4))
    scale = torch.ones(4, requires_grad=True)
    (positions.for_grid(table, (4, 4)) * scale).sum().backward()
    assert scale.grad is not None
