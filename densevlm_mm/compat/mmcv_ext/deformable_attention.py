"""Multi-scale deformable attention (Zhu et al., "Deformable DETR", arXiv 2010.04159, Eq. 3).

mmcv calls these only for tensors on a GPU; on the CPU it takes its own formula in plain torch, which serves here too.
"""

import torch
from torch import Tensor

from densevlm_mm.compat.mmcv_ext.reduced_precision import at_least_float32


def _attend(value: Tensor, spatial_shapes: Tensor, locations: Tensor, weights: Tensor) -> Tensor:
    from mmcv.ops.multi_scale_deform_attn import multi_scale_deformable_attn_pytorch

    with torch.autocast(value.device.type, enabled=False):
        return multi_scale_deformable_attn_pytorch(value, spatial_shapes, locations, weights)


def ms_deform_attn_forward(
    value: Tensor,
    spatial_shapes: Tensor,
    level_start_index: Tensor,
    sampling_locations: Tensor,
    attention_weights: Tensor,
    im2col_step: int,
) -> Tensor:
    """Attend to sampled points of several feature maps.

    Args:
        value: (B, sum of h * w, heads, channels).
        spatial_shapes: (levels, 2) height and width of each map.
        level_start_index: (levels,), implied by `spatial_shapes`.
        sampling_locations: (B, queries, heads, levels, points, 2) in [0, 1], x before y.
        attention_weights: (B, queries, heads, levels, points).
        im2col_step: Unused (block size of the compiled version).

    Returns:
        (B, queries, heads * channels) in the dtype of `value`.
    """
    operands = [at_least_float32(x) for x in (value, sampling_locations, attention_weights)]
    return _attend(operands[0], spatial_shapes, operands[1], operands[2]).to(value.dtype)


def ms_deform_attn_backward(
    value: Tensor,
    spatial_shapes: Tensor,
    level_start_index: Tensor,
    sampling_locations: Tensor,
    attention_weights: Tensor,
    grad_output: Tensor,
    grad_value: Tensor,
    grad_sampling_loc: Tensor,
    grad_attn_weight: Tensor,
    im2col_step: int,
) -> None:
    """Write the gradients of `ms_deform_attn_forward` into the three ``grad_*`` arguments."""
    with torch.enable_grad():
        leaves = [at_least_float32(x.detach()).requires_grad_() for x in (value, sampling_locations, attention_weights)]
        output = _attend(leaves[0], spatial_shapes, leaves[1], leaves[2])
        gradients = torch.autograd.grad(output, leaves, grad_output.to(output.dtype))
    for target, gradient in zip((grad_value, grad_sampling_loc, grad_attn_weight), gradients, strict=True):
        target.copy_(gradient)
