"""Deformable convolution, versions 1 and 2, on torchvision's operator (same layout of the offsets: y before x)."""

import torch
from torch import Tensor

from densevlm_mm.compat.mmcv_ext.reduced_precision import at_least_float32

# The argument names and their order are those that mmcv calls; those that follow from the shapes of the tensors
# (kernel size, groups) and buffers of the compiled version are accepted and not needed.


def _convolve(
    input: Tensor,
    offset: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    mask: Tensor | None,
    stride: tuple[int, int],
    padding: tuple[int, int],
    dilation: tuple[int, int],
) -> Tensor:
    import torchvision

    # Enclosing autocast would turn the float32 operands into bfloat16 again.
    with torch.autocast(input.device.type, enabled=False):
        return torchvision.ops.deform_conv2d(input, offset, weight, bias, stride, padding, dilation, mask)


def _gradients(
    grad_output: Tensor, operands: list[Tensor | None], geometry: tuple[tuple[int, int], ...]
) -> list[Tensor]:
    with torch.enable_grad():
        leaves = [None if x is None else at_least_float32(x.detach()).requires_grad_() for x in operands]
        output = _convolve(*leaves, *geometry)  # type: ignore[arg-type]
        return list(torch.autograd.grad(output, [x for x in leaves if x is not None], grad_output.to(output.dtype)))


def deform_conv_forward(
    input: Tensor,
    weight: Tensor,
    offset: Tensor,
    output: Tensor,
    columns: Tensor,
    ones: Tensor,
    kW: int,
    kH: int,
    dW: int,
    dH: int,
    padW: int,
    padH: int,
    dilationW: int,
    dilationH: int,
    group: int,
    deformable_group: int,
    im2col_step: int,
) -> None:
    """Write the deformable convolution (Dai et al., ICCV 2017) of `input` into `output`.

    Args:
        input: (B, C, H, W).
        weight: (O, C / group, kH, kW).
        offset: (B, 2 * deformable_group * kH * kW, H', W'), y before x.
        output: Output, (B, O, H', W').
        columns: Unused buffer.
        ones: Unused buffer.
        kW: Kernel width (and so on: H height, d stride, pad padding, dilation dilation).
        kH: Kernel height.
        dW: Stride.
        dH: Stride.
        padW: Padding.
        padH: Padding.
        dilationW: Dilation.
        dilationH: Dilation.
        group: Groups of channels, implied by `weight`.
        deformable_group: Groups of offsets, implied by `offset`.
        im2col_step: Unused (block size of the compiled version).
    """
    features, offsets, kernels = (at_least_float32(x) for x in (input, offset, weight))
    output.copy_(_convolve(features, offsets, kernels, None, None, (dH, dW), (padH, padW), (dilationH, dilationW)))


def deform_conv_backward_input(
    input: Tensor,
    offset: Tensor,
    grad_output: Tensor,
    grad_input: Tensor,
    grad_offset: Tensor,
    weight: Tensor,
    columns: Tensor,
    kW: int,
    kH: int,
    dW: int,
    dH: int,
    padW: int,
    padH: int,
    dilationW: int,
    dilationH: int,
    group: int,
    deformable_group: int,
    im2col_step: int,
) -> None:
    """Write the gradients with respect to the input and the offsets into `grad_input` and `grad_offset`."""
    geometry = ((dH, dW), (padH, padW), (dilationH, dilationW))
    gradients = _gradients(grad_output, [input, offset, weight, None, None], geometry)
    grad_input.copy_(gradients[0])
    grad_offset.copy_(gradients[1])


def deform_conv_backward_parameters(
    input: Tensor,
    offset: Tensor,
    grad_output: Tensor,
    grad_weight: Tensor,
    columns: Tensor,
    ones: Tensor,
    kW: int,
    kH: int,
    dW: int,
    dH: int,
    padW: int,
    padH: int,
    dilationW: int,
    dilationH: int,
    group: int,
    deformable_group: int,
    scale: float,
    im2col_step: int,
) -> None:
    """Add `scale` times the gradient with respect to the weights to `grad_weight`."""
    geometry = ((dH, dW), (padH, padW), (dilationH, dilationW))
    # mmcv does not pass the weights here; their gradient does not depend on their values.
    weight = torch.zeros_like(grad_weight)
    gradients = _gradients(grad_output, [input, offset, weight, None, None], geometry)
    grad_weight.add_(gradients[2].to(grad_weight.dtype), alpha=scale)


def modulated_deform_conv_forward(
    input: Tensor,
    weight: Tensor,
    bias: Tensor,
    ones: Tensor,
    offset: Tensor,
    mask: Tensor,
    output: Tensor,
    columns: Tensor,
    kernel_h: int,
    kernel_w: int,
    stride_h: int,
    stride_w: int,
    pad_h: int,
    pad_w: int,
    dilation_h: int,
    dilation_w: int,
    group: int,
    deformable_group: int,
    with_bias: bool,
) -> None:
    """Write the modulated deformable convolution (Zhu et al., CVPR 2019) of `input` into `output`.

    Args:
        input: (B, C, H, W).
        weight: (O, C / group, kernel_h, kernel_w).
        bias: (O,), ignored unless `with_bias`.
        ones: Unused buffer.
        offset: (B, 2 * deformable_group * kernel_h * kernel_w, H', W'), y before x.
        mask: (B, deformable_group * kernel_h * kernel_w, H', W').
        output: Output, (B, O, H', W').
        columns: Unused buffer.
        kernel_h: Implied by `weight`.
        kernel_w: Implied by `weight`.
        stride_h: Stride.
        stride_w: Stride.
        pad_h: Padding.
        pad_w: Padding.
        dilation_h: Dilation.
        dilation_w: Dilation.
        group: Groups of channels, implied by `weight`.
        deformable_group: Groups of offsets, implied by `offset`.
        with_bias: Add `bias`.
    """
    features, offsets, kernels, masks = (at_least_float32(x) for x in (input, offset, weight, mask))
    geometry = ((stride_h, stride_w), (pad_h, pad_w), (dilation_h, dilation_w))
    used_bias = at_least_float32(bias) if with_bias else None
    output.copy_(_convolve(features, offsets, kernels, used_bias, masks, *geometry))


def modulated_deform_conv_backward(
    input: Tensor,
    weight: Tensor,
    bias: Tensor,
    ones: Tensor,
    offset: Tensor,
    mask: Tensor,
    columns: Tensor,
    grad_input: Tensor,
    grad_weight: Tensor,
    grad_bias: Tensor,
    grad_offset: Tensor,
    grad_mask: Tensor,
    grad_output: Tensor,
    kernel_h: int,
    kernel_w: int,
    stride_h: int,
    stride_w: int,
    pad_h: int,
    pad_w: int,
    dilation_h: int,
    dilation_w: int,
    group: int,
    deformable_group: int,
    with_bias: bool,
) -> None:
    """Write the gradients of `modulated_deform_conv_forward` into the ``grad_*`` arguments."""
    geometry = ((stride_h, stride_w), (pad_h, pad_w), (dilation_h, dilation_w))
    operands = [input, offset, weight, bias if with_bias else None, mask]
    targets = [grad_input, grad_offset, grad_weight, *([grad_bias] if with_bias else []), grad_mask]
    for target, gradient in zip(targets, _gradients(grad_output, operands, geometry), strict=True):
        target.copy_(gradient)
