"""Computes a convolution in float32 where the CPU's gradient of its weight in 16 bits would be garbage.

What breaks: on CPUs with AMX, oneDNN leaves those parts of a bfloat16 convolution's weight gradient uninitialised that
belong to rows or columns of the kernel which meet nothing but padding, as in a 3x3 convolution of stride 2 over a 1x1
map (RetinaNet's P7 of small images). The gradient there is 0; it gets whatever the memory held: nan, or finite numbers
that nothing notices.
Upstream: no issue of oneDNN or torch was found that reports it. Seen with torch 2.14.1, oneDNN 3.12.0; not in float32,
and not with ``ONEDNN_MAX_CPU_ISA=AVX512_CORE_BF16`` or ``AVX2``.
Needed by: torch 2.14.1 on CPUs with AMX. Which processor it is makes no difference to what is computed: such a
convolution runs in float32 on every CPU, so that results do not depend on the machine; no other one is changed.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, wraps
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

_CONVOLUTIONS = ("conv1d", "conv2d", "conv3d")
_SIXTEEN_BITS = (torch.bfloat16, torch.float16)


@contextmanager
def whole_weight_gradients() -> Iterator[None]:
    """Within the block, run the affected convolutions on the CPU in float32; what comes out keeps its type.

    The functions of ``torch.nn.functional`` are replaced meanwhile, by which layers and models convolve.
    """
    originals = {name: getattr(F, name) for name in _CONVOLUTIONS}
    for name, convolution in originals.items():
        setattr(F, name, _whole(convolution))
    try:
        yield
    finally:
        for name, convolution in originals.items():
            setattr(F, name, convolution)


@cache
def _whole(convolution: Callable[..., Tensor]) -> Callable[..., Tensor]:
    @wraps(convolution)
    def convolve(
        input: Tensor,
        weight: Tensor,
        bias: Tensor | None = None,
        stride: Any = 1,
        padding: Any = 0,
        dilation: Any = 1,
        groups: int = 1,
    ) -> Tensor:
        dtype = _sixteen_bits(input)
        if dtype is None or not weight.requires_grad or not _is_affected(input, weight, stride, padding, dilation):
            return convolution(input, weight, bias, stride, padding, dilation, groups)
        with torch.autocast("cpu", enabled=False):
            in_float = None if bias is None else bias.float()
            out = convolution(input.float(), weight.float(), in_float, stride, padding, dilation, groups)
        return out.to(dtype)

    return convolve


def _sixteen_bits(input: Tensor) -> torch.dtype | None:
    """The type of 16 bits that a convolution of this input runs in on the CPU, if it does."""
    if input.device.type != "cpu":
        return None
    dtype = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else input.dtype
    return dtype if dtype in _SIXTEEN_BITS else None


def _is_affected(input: Tensor, weight: Tensor, stride: Any, padding: Any, dilation: Any) -> bool:
    kernel = tuple(weight.shape[2:])
    sizes = tuple(input.shape[-len(kernel) :])
    count = len(kernel)
    before = padding if isinstance(padding, str) else _each(padding, count)
    return has_idle_taps(sizes, kernel, _each(stride, count), before, _each(dilation, count))


def _each(value: Any, count: int) -> tuple[int, ...]:
    values = (value,) if isinstance(value, int) else tuple(value)
    return values * count if len(values) == 1 else values


@cache
def has_idle_taps(
    sizes: tuple[int, ...],
    kernel: tuple[int, ...],
    stride: tuple[int, ...],
    padding: tuple[int, ...] | str,
    dilation: tuple[int, ...],
) -> bool:
    """Tell whether a row or column of a kernel meets nothing but padding, wherever the kernel is put.

    Args:
        sizes: Lengths of the input.
        kernel: Lengths of the kernel.
        stride: Strides.
        padding: Zeros before and after, or ``'valid'`` or ``'same'``.
        dilation: Distances of the kernel's taps.
    """
    for axis, size in enumerate(sizes):
        extent = dilation[axis] * (kernel[axis] - 1)
        if isinstance(padding, str):
            both = extent if padding == "same" else 0
            before = both // 2
        else:
            before = padding[axis]
            both = 2 * before
        places = range(-before, size + both - before - extent, stride[axis])
        for tap in range(0, extent + 1, dilation[axis]):
            if not any(0 <= place + tap < size for place in places):
                return True
    return False
