"""Computing in float32 for operands in float16 or bfloat16, as the operators of the stand-in do."""

import torch
from torch import Tensor


def at_least_float32(tensor: Tensor) -> Tensor:
    """Return `tensor` in float32 if it is in float16 or bfloat16, else `tensor` itself."""
    return tensor.float() if tensor.dtype in (torch.float16, torch.bfloat16) else tensor
