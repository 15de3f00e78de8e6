"""What a checkpoint holds: its state dict, and whether its numbers are numbers."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

# Under these keys training programs keep the weights, beside optimizer and counters.
WRAPPERS = ("state_dict", "model_state_dict", "model", "module")
# Masks of attention hold minus infinity on purpose.
_MASK = re.compile(r"(.*[._])?mask")
# Others, of one byte, mean nothing without the scales of their quantisation.
_FLOATS = (torch.float64, torch.float32, torch.float16, torch.bfloat16)


def is_runner_checkpoint(content: Any) -> bool:
    """Whether a checkpoint's content is that of mmengine's Runner."""
    return isinstance(content, Mapping) and "state_dict" in content and "meta" in content


def find_state_dict(content: Any, source: str) -> dict[str, Tensor]:
    """Find the state dict in whatever a training program has saved.

    Args:
        content: A state dict, or a dict around one.
        source: The file, for the error message.

    Raises:
        ValueError: If there is none.
    """
    while isinstance(content, Mapping) and not _is_state_dict(content):
        inner = next((content[key] for key in WRAPPERS if isinstance(content.get(key), Mapping)), None)
        if inner is None:
            is_optimizer = {"state", "param_groups"} <= content.keys()
            hint = (
                ". It is the state of an optimizer: give the weights that were saved beside it" if is_optimizer else ""
            )
            raise ValueError(f"{source}: no state dict found; its entries are {sorted(map(str, content))[:8]}{hint}")
        content = inner
    if not isinstance(content, Mapping):
        raise ValueError(f"{source}: holds a {type(content).__name__} instead of a dict of tensors")
    return dict(content)


def check_finite(content: Any, source: str) -> None:
    """Refuse numbers that are none.

    Args:
        content: Dicts and lists of tensors, nested to any depth; other values are passed over.
        source: The file, for the error message.

    Raises:
        ValueError: If a tensor holds nan or infinity (masks may); names the first.
    """
    for name, tensor in _tensors(content, ""):
        # A sum is ten times as fast, and never finite if a summand is not.
        if tensor.dtype not in _FLOATS or torch.isfinite(_sum(tensor)) or torch.isfinite(tensor).all():
            continue
        is_nan = bool(torch.isnan(tensor).any())
        if is_nan or not _MASK.fullmatch(name):
            raise ValueError(
                f"{source}: tensor {name!r} holds {'nan' if is_nan else 'infinite values'}. The training that wrote it "
                "had diverged, or the file is damaged: take an earlier checkpoint, or download it again"
            )


def check_weights(tensors: Mapping[str, Tensor], source: str) -> None:
    """Refuse tensors that cannot be weights of an image or text tower.

    Raises:
        ValueError: If a matrix is all zeros (a hole that a broken copy has left), or of a type that says nothing
            without the scales of its quantisation; names the first.
    """
    for name, tensor in tensors.items():
        is_matrix = sum(side > 1 for side in tensor.shape) >= 2
        if is_matrix and tensor.dtype.itemsize == 1:
            raise ValueError(
                f"{source}: tensor {name!r} is of type {str(tensor.dtype).removeprefix('torch.')}: quantised weights "
                "are not supported, give those in float32, float16 or bfloat16"
            )
        if is_matrix and not tensor[(0,) * tensor.ndim] and not tensor.any():
            raise ValueError(
                f"{source}: all values of tensor {name!r} are zero. The file is damaged (a hole that a broken copy or "
                "download has left): get it again, and compare its size and SHA-256"
            )


def _tensors(content: Any, name: str) -> Iterator[tuple[str, Tensor]]:
    if isinstance(content, Tensor):
        yield name, content
    elif isinstance(content, Mapping | list | tuple):
        items = content.items() if isinstance(content, Mapping) else enumerate(content)
        for key, value in items:
            yield from _tensors(value, f"{name}.{key}" if name else str(key))


def _sum(tensor: Tensor) -> Tensor:
    return tensor.sum(dtype=torch.float64 if tensor.dtype is torch.float64 else torch.float32)


def _is_state_dict(content: Mapping) -> bool:
    return bool(content) and all(isinstance(k, str) and isinstance(v, Tensor) for k, v in content.items())
