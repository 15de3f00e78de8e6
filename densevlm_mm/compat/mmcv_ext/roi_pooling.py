"""RoIAlign and RoIPool forward and backward, in the form that ``mmcv.ops`` calls."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from densevlm_mm.compat.mmcv_ext.reduced_precision import at_least_float32
from densevlm_mm.compat.mmcv_ext.unavailable import unavailable_operator

_MAX_POOLING = 0


def _torchvision_operator(name: str) -> Callable[..., Any]:
    import torchvision  # noqa: F401  (registers the operators; here and not above to keep importing the package cheap)

    return getattr(torch.ops.torchvision, name)


def roi_align_forward(
    input: Tensor,
    rois: Tensor,
    output: Tensor,
    argmax_y: Tensor,
    argmax_x: Tensor,
    aligned_height: int,
    aligned_width: int,
    spatial_scale: float,
    sampling_ratio: int,
    pool_mode: int,
    aligned: bool,
) -> None:
    """Write RoIAlign (average) of `input` into `output`.

    Args:
        input: (B, C, H, W) features.
        rois: (R, 5) batch index and xyxy box in image pixels.
        output: Output, (R, C, aligned_height, aligned_width).
        argmax_y: Unused (for the pooling by maximum, which has no backing).
        argmax_x: Unused.
        aligned_height: Rows of bins.
        aligned_width: Columns of bins.
        spatial_scale: Feature pixels per image pixel.
        sampling_ratio: Samples a side of a bin; 0 for as many as the bin has feature pixels.
        pool_mode: 1 (average); 0 (maximum) is not available.
        aligned: Shift by half a pixel (mmdet 2 and later).

    Raises:
        NotImplementedError: If `pool_mode` is 0.
    """
    if pool_mode == _MAX_POOLING:
        unavailable_operator("roi_align_forward with pool_mode='max'")()
    features = at_least_float32(input)
    pooled = _torchvision_operator("roi_align")(
        features, rois.to(features.dtype), spatial_scale, aligned_height, aligned_width, sampling_ratio, aligned
    )
    output.copy_(pooled)


def roi_align_backward(
    grad_output: Tensor,
    rois: Tensor,
    argmax_y: Tensor,
    argmax_x: Tensor,
    grad_input: Tensor,
    aligned_height: int,
    aligned_width: int,
    spatial_scale: float,
    sampling_ratio: int,
    pool_mode: int,
    aligned: bool,
) -> None:
    """Write the gradient of `roi_align_forward` with respect to its input into `grad_input`."""
    if pool_mode == _MAX_POOLING:
        unavailable_operator("roi_align_backward with pool_mode='max'")()
    grad = at_least_float32(grad_output)
    grad_features = _torchvision_operator("_roi_align_backward")(
        grad,
        rois.to(grad.dtype),
        spatial_scale,
        aligned_height,
        aligned_width,
        *grad_input.shape,
        sampling_ratio,
        aligned,
    )
    grad_input.copy_(grad_features)


def roi_pool_forward(
    input: Tensor,
    rois: Tensor,
    output: Tensor,
    argmax: Tensor,
    pooled_height: int,
    pooled_width: int,
    spatial_scale: float,
) -> None:
    """Write RoIPool (maximum over each bin) of `input` into `output`.

    Plain torch and not torchvision's operator: torchvision rounds the box to feature pixels first, mmcv does not, so
    the two disagree. One small step per box and bin, meant for occasional use.

    Args:
        input: (B, C, H, W) features.
        rois: (R, 5) batch index and xyxy box in image pixels, right and bottom inclusive.
        output: Output, (R, C, pooled_height, pooled_width); 0 in bins that lie outside of the features.
        argmax: Output, same shape, int32 index into H * W of each maximum, -1 where there is none.
        pooled_height: Rows of bins.
        pooled_width: Columns of bins.
        spatial_scale: Feature pixels per image pixel.
    """
    height, width = input.shape[-2:]
    boxes = at_least_float32(rois)[:, 1:]
    starts = boxes[:, :2] * spatial_scale
    sizes = (boxes[:, 2:] + 1) * spatial_scale - starts
    columns = _bin_edges(starts[:, 0], sizes[:, 0], pooled_width, width)
    rows = _bin_edges(starts[:, 1], sizes[:, 1], pooled_height, height)
    output.zero_()
    argmax.fill_(-1)
    # Bins overlap and differ in size by a pixel, box by box: there is no one tensor to take the maximum of.
    for index, image in enumerate(rois[:, 0].long().tolist()):
        if sizes[index].min() <= 0:
            continue
        for row, (top, bottom) in enumerate(rows[index]):
            for column, (left, right) in enumerate(columns[index]):
                if bottom <= top or right <= left:
                    continue
                window = input[image, :, top:bottom, left:right].flatten(1)
                value, position = window.max(dim=1)
                span = right - left
                output[index, :, row, column] = value
                argmax[index, :, row, column] = ((position // span + top) * width + position % span + left).int()


def _bin_edges(starts: Tensor, sizes: Tensor, num_bins: int, limit: int) -> list[list[list[int]]]:
    bins = torch.arange(num_bins, device=starts.device, dtype=starts.dtype)
    step = (sizes / num_bins)[:, None]
    first = (bins * step + starts[:, None]).floor()
    last = ((bins + 1) * step + starts[:, None]).ceil()
    return torch.stack([first, last], dim=-1).clamp(0, limit).long().tolist()


def roi_pool_backward(
    grad_output: Tensor,
    rois: Tensor,
    argmax: Tensor,
    grad_input: Tensor,
    pooled_height: int,
    pooled_width: int,
    spatial_scale: float,
) -> None:
    """Write the gradient of `roi_pool_forward` with respect to its input into `grad_input`."""
    batch, channels, height, width = grad_input.shape
    grad = at_least_float32(grad_output)
    planes = rois[:, 0].long()[:, None] * channels + torch.arange(channels, device=rois.device)
    targets = planes[:, :, None, None] * (height * width) + argmax
    has_maximum = argmax >= 0
    flat = grad.new_zeros(batch * channels * height * width)
    flat.index_add_(0, targets[has_maximum], grad[has_maximum])
    grad_input.copy_(flat.view_as(grad_input))
