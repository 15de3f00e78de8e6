import torch
from mmcv.ops.multi_scale_deform_attn import MultiScaleDeformableAttnFunction
from torch import Tensor

SHAPES = torch.tensor([[3, 4], [2, 2]])
STARTS = torch.tensor([0, 12])


def operands(dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    value = torch.randn(2, 16, 2, 3, generator=generator).to(dtype)
    locations = torch.rand(2, 5, 2, 2, 3, 2, generator=generator).to(dtype) * 1.2 - 0.1
    weights = torch.rand(2, 5, 2, 2, 3, generator=generator).to(dtype)
    return value, locations, weights


def bilinear(plane: Tensor, x: float, y: float) -> Tensor:
    height, width, channels = plane.shape
    total = torch.zeros(channels)
    for row in (int(y // 1), int(y // 1) + 1):
        for column in (int(x // 1), int(x // 1) + 1):
            if 0 <= row < height and 0 <= column < width:
                total += (1 - abs(y - row)) * (1 - abs(x - column)) * plane[row, column]
    return total


def attend_by_loops(value: Tensor, locations: Tensor, weights: Tensor) -> Tensor:
    batch, queries, heads, levels, points = weights.shape
    out = torch.zeros(batch, queries, heads, value.shape[-1])
    for b, q, h, level, p in torch.cartesian_prod(*map(torch.arange, (batch, queries, heads, levels, points))).tolist():
        height, width = SHAPES[level].tolist()
        start = int(STARTS[level])
        plane = value[b, start : start + height * width, h].view(height, width, -1)
        x, y = locations[b, q, h, level, p].tolist()
        out[b, q, h] += weights[b, q, h, level, p] * bilinear(plane, x * width - 0.5, y * height - 0.5)
    return out.flatten(2)


def test_forward_agrees_with_loops() -> None:
    value, locations, weights = operands()
    out = MultiScaleDeformableAttnFunction.apply(value, SHAPES, STARTS, locations, weights, 64)
    torch.testing.assert_close(out, attend_by_loops(value, locations, weights), rtol=1e-4, atol=1e-5)


def test_gradients_are_those_of_finite_differences() -> None:
    value, locations, weights = (x[:1].double().requires_grad_() for x in operands())
    assert torch.autograd.gradcheck(
        lambda v, s, w: MultiScaleDeformableAttnFunction.apply(v, SHAPES, STARTS, s, w, 64),
        (value, locations[:, :2], weights[:, :2]),
    )


def test_bfloat16_keeps_its_dtype() -> None:
    value, locations, weights = (x.requires_grad_() for x in operands(torch.bfloat16))
    out = MultiScaleDeformableAttnFunction.apply(value, SHAPES, STARTS, locations, weights, 64)
    assert out.dtype == torch.bfloat16
    out.float().sum().backward()
    assert all(x.grad is not None and x.grad.dtype == torch.bfloat16 for x in (value, locations, weights))
