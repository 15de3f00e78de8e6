"""Fused query-key-value projections as separate parameters, without changing what is stored in checkpoints.

``nn.MultiheadAttention.in_proj_weight`` and timm's ``qkv.weight`` hold query, key and value rows in one parameter.
Freezing only some of these rows cannot be said with ``requires_grad``, and a zero gradient is no protection: AdamW's
weight decay is applied to the whole parameter. Splitting the parameter is exact. ``state_dict()`` and
``load_state_dict()`` keep the fused names and shapes (as copies: write through ``load_state_dict``, not into the
tensors of ``state_dict()``), while ``named_parameters()`` shows ``<name>_q``, ``<name>_k`` and ``<name>_v``.
"""

from typing import Any

import torch
from torch import Tensor, nn

Parts = tuple[str, ...]
QKV: Parts = ("q", "k", "v")


def _fused(module: Any, name: str) -> Tensor | None:
    parts = [module._parameters.get(f"{name}_{part}") for part in module.split_parts]
    return None if parts[0] is None else torch.cat(parts)  # type: ignore[arg-type]


class SplitMultiheadAttention(nn.MultiheadAttention):
    """Multi-head attention whose input projection is three parameters. Made by :func:`split_projection`."""

    fused_names = ("in_proj_weight", "in_proj_bias")

    @property
    def in_proj_weight(self) -> Tensor | None:  # type: ignore[override]
        """(3C, C) query, key and value rows."""
        return _fused(self, "in_proj_weight")

    @property
    def in_proj_bias(self) -> Tensor | None:  # type: ignore[override]
        """(3C,) query, key and value rows."""
        return _fused(self, "in_proj_bias")


class SplitLinear(nn.Linear):
    """A fused query-key-value layer whose rows are three parameters. Made by :func:`split_projection`."""

    fused_names = ("weight", "bias")

    @property
    def weight(self) -> Tensor | None:  # type: ignore[override]
        """(3C, C) query, key and value rows."""
        return _fused(self, "weight")

    @property
    def bias(self) -> Tensor | None:  # type: ignore[override]
        """(3C,) query, key and value rows."""
        return _fused(self, "bias")


def split_projection(layer: Any, parts: Parts = QKV) -> None:
    """Split a layer's fused query-key-value parameters in place; nothing happens if they are split already.

    Args:
        layer: An ``nn.MultiheadAttention`` with one width for query, key and value, or timm's ``qkv`` linear layer.
        parts: What the equal groups of rows are, in order; the last is 'v'.
    """
    if isinstance(layer, (SplitMultiheadAttention, SplitLinear)):
        return
    split_type = SplitMultiheadAttention if isinstance(layer, nn.MultiheadAttention) else SplitLinear
    for name in split_type.fused_names:
        fused = getattr(layer, name)
        delattr(layer, name)
        if fused is None:
            continue
        for part, rows in zip(parts, fused.detach().chunk(len(parts)), strict=True):
            layer.register_parameter(f"{name}_{part}", nn.Parameter(rows.clone(), requires_grad=fused.requires_grad))
    layer.__class__ = split_type
    layer.split_parts = parts
    layer.register_state_dict_post_hook(_fuse_stored_rows)
    layer.register_load_state_dict_pre_hook(_split_stored_rows)


def query_key_parameters(layer: nn.Module) -> set[nn.Parameter]:
    """Return the query and key parameters of a layer that :func:`split_projection` has split."""
    return {p for name, p in layer.named_parameters(recurse=False) if name.endswith(("_q", "_k"))}


def query_value_weights(layer: nn.Module) -> set[nn.Parameter]:
    """Split a fused query-key-value layer if it is not split yet, and return its query and value weights."""
    split_projection(layer)
    return {p for name, p in layer.named_parameters(recurse=False) if name.endswith(("weight_q", "weight_v"))}


def value_projection(layer: nn.MultiheadAttention | nn.Linear, parts: Parts = QKV) -> tuple[Tensor, Tensor | None]:
    """Return weight (C, C) and bias (C,) of the value rows of a fused layer, split or not."""
    names = ("in_proj_weight", "in_proj_bias") if isinstance(layer, nn.MultiheadAttention) else ("weight", "bias")
    if isinstance(layer, (SplitMultiheadAttention, SplitLinear)):
        weight, bias = (layer._parameters.get(f"{name}_v") for name in names)
        return weight, bias  # type: ignore[return-value]
    weight, bias = (getattr(layer, name) for name in names)
    return weight.chunk(len(parts))[-1], None if bias is None else bias.chunk(len(parts))[-1]


def _fuse_stored_rows(module: Any, state_dict: dict[str, Tensor], prefix: str, metadata: dict) -> None:
    for name in module.fused_names:
        keys = [f"{prefix}{name}_{part}" for part in module.split_parts]
        if keys[0] in state_dict:
            state_dict[prefix + name] = torch.cat([state_dict.pop(key) for key in keys])


def _split_stored_rows(module: Any, state_dict: dict[str, Tensor], prefix: str, *unused: Any) -> None:
    for name in module.fused_names:
        if prefix + name in state_dict:
            rows = state_dict.pop(prefix + name).chunk(len(module.split_parts))
            state_dict.update({f"{prefix}{name}_{part}": r for part, r in zip(module.split_parts, rows, strict=True)})
