"""Stand-in for the compiled module ``mmcv._ext``, on torchvision and plain torch, for CPU and GPU.

The functions have the names, the argument names and the write-into-the-output-argument convention that the Python half
of ``mmcv.ops`` (2.0 to 2.1) calls: ``kW``, ``dH`` and the long lists of arguments are mmcv's. Operators without a
backing here import, and raise `NotImplementedError` when called.

float16 and bfloat16 arguments are computed in float32 and rounded once at the end, as autocast does.
"""

from collections.abc import Callable
from typing import Any

from densevlm_mm.compat.mmcv_ext.box_overlaps import bbox_overlaps
from densevlm_mm.compat.mmcv_ext.box_suppression import nms, nms_match, softnms
from densevlm_mm.compat.mmcv_ext.build_info import get_compiler_version, get_compiling_cuda_version
from densevlm_mm.compat.mmcv_ext.deformable_attention import ms_deform_attn_backward, ms_deform_attn_forward
from densevlm_mm.compat.mmcv_ext.deformable_convolution import (
    deform_conv_backward_input,
    deform_conv_backward_parameters,
    deform_conv_forward,
    modulated_deform_conv_backward,
    modulated_deform_conv_forward,
)
from densevlm_mm.compat.mmcv_ext.focal_loss import sigmoid_focal_loss_backward, sigmoid_focal_loss_forward
from densevlm_mm.compat.mmcv_ext.roi_pooling import (
    roi_align_backward,
    roi_align_forward,
    roi_pool_backward,
    roi_pool_forward,
)
from densevlm_mm.compat.mmcv_ext.unavailable import unavailable_operator

__all__ = [
    "bbox_overlaps",
    "deform_conv_backward_input",
    "deform_conv_backward_parameters",
    "deform_conv_forward",
    "get_compiler_version",
    "get_compiling_cuda_version",
    "modulated_deform_conv_backward",
    "modulated_deform_conv_forward",
    "ms_deform_attn_backward",
    "ms_deform_attn_forward",
    "nms",
    "nms_match",
    "roi_align_backward",
    "roi_align_forward",
    "roi_pool_backward",
    "roi_pool_forward",
    "sigmoid_focal_loss_backward",
    "sigmoid_focal_loss_forward",
    "softnms",
]


def __getattr__(name: str) -> Callable[..., Any]:
    # mmcv asserts with hasattr, while it is imported, that every operator is there: about ninety that have no backing.
    if name.startswith("_"):
        raise AttributeError(f"module 'mmcv._ext' (the densevlm_mm stand-in) has no attribute {name!r}")
    return unavailable_operator(name)
