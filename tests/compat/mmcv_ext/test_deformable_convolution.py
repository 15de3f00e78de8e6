import pytest
import torch
import torch.nn.functional as F
import torchvision
from mmcv.ops import deform_conv2d, modulated_deform_conv2d
from torch import Tensor


def operands(groups: int = 1, offset_groups: int = 1, dtype: torch.dtype = torch.float32) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator).to(dtype).requires_grad_()

    return dict(
        input=normal(2, 4, 6, 7),
        offset=normal(2, 2 * offset_groups * 9, 3, 4),
        mask=normal(2, offset_groups * 9, 3, 4),
        weight=normal(6, 4 // groups, 3, 3),
        bias=normal(6),
    )


def test_without_offsets_it_is_a_convolution() -> None:
    x = operands(groups=2)
    out = deform_conv2d(x["input"], torch.zeros(2, 18, 3, 4), x["weight"], 2, 1, 1, 2, 1)
    torch.testing.assert_close(
        out, F.conv2d(x["input"], x["weight"], stride=2, padding=1, groups=2), rtol=1e-4, atol=1e-5
    )


def test_offsets_are_y_before_x() -> None:
    image = torch.arange(25.0).view(1, 1, 5, 5)
    offset = torch.zeros(1, 2, 5, 5)
    offset[:, 0] = 1.0
    out = deform_conv2d(image, offset, torch.ones(1, 1, 1, 1), 1, 0, 1, 1, 1)
    torch.testing.assert_close(out[:, :, :4], image[:, :, 1:])


@pytest.mark.parametrize(("groups", "offset_groups"), [(1, 1), (2, 2)])
def test_forward_and_gradients_agree_with_torchvision(groups: int, offset_groups: int) -> None:
    ours, theirs = operands(groups, offset_groups), operands(groups, offset_groups)
    out = deform_conv2d(ours["input"], ours["offset"], ours["weight"], 2, 1, 1, groups, offset_groups)
    expected = torchvision.ops.deform_conv2d(theirs["input"], theirs["offset"], theirs["weight"], None, 2, 1)
    torch.testing.assert_close(out, expected)
    out.square().sum().backward()
    expected.square().sum().backward()
    for name in ("input", "offset", "weight"):
        torch.testing.assert_close(ours[name].grad, theirs[name].grad)


@pytest.mark.parametrize("with_bias", [True, False])
def test_modulated_forward_and_gradients_agree_with_torchvision(with_bias: bool) -> None:
    ours, theirs = operands(), operands()
    bias = ours["bias"] if with_bias else None
    out = modulated_deform_conv2d(ours["input"], ours["offset"], ours["mask"], ours["weight"], bias, 2, 1, 1, 1, 1)
    expected = torchvision.ops.deform_conv2d(
        theirs["input"],
        theirs["offset"],
        theirs["weight"],
        theirs["bias"] if with_bias else None,
        2,
        1,
        mask=theirs["mask"],
    )
    torch.testing.assert_close(out, expected)
    out.square().sum().backward()
    expected.square().sum().backward()
    for name in ("input", "offset", "mask", "weight", *(["bias"] if with_bias else [])):
        torch.testing.assert_close(ours[name].grad, theirs[name].grad)


def test_modulated_gradients_are_those_of_finite_differences() -> None:
    generator = torch.Generator().manual_seed(1)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64).requires_grad_()

    inputs = (normal(1, 1, 4, 4), normal(1, 8, 3, 3), normal(1, 4, 3, 3), normal(1, 1, 2, 2), normal(1))
    assert torch.autograd.gradcheck(lambda *x: modulated_deform_conv2d(*x, 1, 0, 1, 1, 1), inputs)


def test_bfloat16_is_computed_in_float32_and_rounded_once() -> None:
    x = operands(dtype=torch.bfloat16)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = deform_conv2d(x["input"], x["offset"], x["weight"], 2, 1, 1, 1, 1)
    exact = torchvision.ops.deform_conv2d(x["input"].float(), x["offset"].float(), x["weight"].float(), None, 2, 1)
    torch.testing.assert_close(out, exact.bfloat16(), rtol=0, atol=0)
    out.float().sum().backward()
    assert x["weight"].grad is not None
    assert x["weight"].grad.dtype == torch.bfloat16
