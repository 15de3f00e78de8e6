"""Weight gradients of convolutions whose kernel meets padding alone are right on every processor."""

import itertools

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from densevlm_mm.compat.padded_convolution import has_idle_taps, whole_weight_gradients
from densevlm_mm.engine.optim_wrappers import AutocastOptimWrapper


def gradient(x: Tensor, w: Tensor, *, guarded: bool, autocast: bool = True, **options) -> tuple[Tensor, Tensor]:
    """Output and weight gradient, with memory that was full of nan before."""
    w = w.detach().clone().requires_grad_()
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
        if guarded:
            with whole_weight_gradients():
                y = F.conv2d(x, w, **options)
        else:
            y = F.conv2d(x, w, **options)
    junk = [torch.full_like(w, float("nan")) for _ in range(16)]  # what freed memory may hold
    del junk
    y.backward(torch.ones_like(y))
    assert w.grad is not None
    return y.detach(), w.grad


@pytest.mark.parametrize("channels", [16, 64, 256])
@pytest.mark.parametrize("autocast", [True, False], ids=["autocast", "bfloat16"])
def test_taps_that_meet_only_padding_get_a_gradient_of_zero(channels, autocast) -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2, channels, 1, 1, generator=generator)
    w = 0.05 * torch.randn(channels, channels, 3, 3, generator=generator)
    if not autocast:
        x, w = x.bfloat16(), w.bfloat16()
    reference = torch.zeros(channels, channels, 3, 3)
    reference[:, :, 1, 1] = x.float().sum(0).view(1, channels)  # for a gradient of ones
    y, found = gradient(x, w, guarded=True, autocast=autocast, stride=2, padding=1)
    assert y.dtype == torch.bfloat16
    torch.testing.assert_close(found.float(), reference, rtol=1e-2, atol=1e-2)
    assert (found[:, :, 0] == 0).all()
    assert (found[:, :, :, 2] == 0).all()


def test_they_are_computed_in_float32_from_what_was_given() -> None:
    """No processor with AMX is needed to see that the 16-bit kernel is not what runs."""
    generator = torch.Generator().manual_seed(0)
    x, w = torch.randn(1, 8, 1, 1, generator=generator), torch.randn(4, 8, 3, 3, generator=generator)
    expected = F.conv2d(x, w, padding=1)
    y, found = gradient(x, w, guarded=True, padding=1)
    assert torch.equal(y, expected.bfloat16())
    assert torch.equal(found[:, :, 1, 1], x.view(1, 8).expand(4, 8))


@pytest.mark.parametrize("options", [dict(padding=1), dict(padding=1, stride=2), dict(), dict(padding="same")], ids=str)
def test_other_convolutions_are_not_changed_by_a_bit(options) -> None:
    generator = torch.Generator().manual_seed(0)
    x, w = torch.randn(1, 8, 6, 6, generator=generator), torch.randn(4, 8, 3, 3, generator=generator)
    torch.testing.assert_close(
        gradient(x, w, guarded=True, **options), gradient(x, w, guarded=False, **options), rtol=0, atol=0
    )


def test_frozen_weights_and_float32_are_left_alone() -> None:
    generator = torch.Generator().manual_seed(0)
    x, w = torch.randn(1, 8, 1, 1, generator=generator), torch.randn(4, 8, 3, 3, generator=generator)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        plain = F.conv2d(x, w, padding=1)
        with whole_weight_gradients():
            assert torch.equal(F.conv2d(x, w, padding=1), plain)
    exact = gradient(x, w, guarded=True, autocast=False, padding=1)
    torch.testing.assert_close(exact, gradient(x, w, guarded=False, autocast=False, padding=1), rtol=0, atol=0)


def test_which_convolutions_are_affected_is_right_for_all_small_geometries() -> None:
    """Against the gradient itself, in float64."""
    for size, kernel, stride, padding, dilation in itertools.product(
        (1, 2, 3, 5), (1, 2, 3), (1, 2, 3), (0, 1, 2), (1, 2)
    ):
        if size + 2 * padding < dilation * (kernel - 1) + 1:
            continue
        x = torch.ones(1, 1, size, dtype=torch.float64)
        w = torch.ones(1, 1, kernel, dtype=torch.float64, requires_grad=True)
        F.conv1d(x, w, stride=stride, padding=padding, dilation=dilation).sum().backward()
        assert w.grad is not None
        expected = bool((w.grad == 0).any())
        geometry = ((size,), (kernel,), (stride,), (padding,), (dilation,))
        assert has_idle_taps(*geometry) == expected, geometry


@pytest.mark.parametrize(("size", "kernel", "expected"), [(1, 3, True), (2, 3, False), (1, 2, True), (4, 9, True)])
def test_padding_by_name(size, kernel, expected) -> None:
    assert has_idle_taps((size,), (kernel,), (1,), "same", (1,)) == expected
    assert not has_idle_taps((9,), (kernel,), (1,), "valid", (1,))


def test_layers_trained_by_our_wrapper_are_protected_and_the_functions_restored() -> None:
    before = F.conv2d
    layer = nn.Conv2d(4, 4, 3, padding=1)
    x = torch.randn(1, 4, 1, 1, generator=torch.Generator().manual_seed(0))
    wrapper = AutocastOptimWrapper(torch.optim.SGD(layer.parameters(), lr=0.1))
    with wrapper.optim_context(layer):
        out = layer(x)
        assert F.conv2d is not before
    assert F.conv2d is before
    assert torch.equal(out, F.conv2d(x, layer.weight, layer.bias, padding=1).bfloat16())
