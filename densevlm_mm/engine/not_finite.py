"""Numbers that are nan or infinite where weights are trained and kept."""

from collections.abc import Collection, Iterator
from typing import Any

import torch
from torch import Tensor, nn


class NotFiniteError(ValueError):
    """A loss, a gradient or a state to be saved is nan or infinite."""

    @classmethod
    def of_step(cls, loss: float, grad_norm: float | None = None) -> "NotFiniteError":
        """Make the error from the loss of an iteration and the norm of all gradients together, where it is known."""
        return cls(f"the loss is {loss:g}" + ("" if grad_norm is None else f", the norm of the gradient {grad_norm:g}"))


def buffers_not_finite(model: nn.Module) -> set[str]:
    """Names in the state dict of what is no parameter and not finite: masks of -inf that were made so."""
    parameters = {parameter.data_ptr() for parameter in model.parameters()}
    entries = model.state_dict().items()
    return {name for name, value in entries if value.data_ptr() not in parameters and not _is_finite(value)}


def states_not_finite(checkpoint: dict[str, Any], allowed: Collection[str] = ()) -> list[str]:
    """Names of the tensors of a runner checkpoint that are not finite, of weights and optimizer state.

    Args:
        checkpoint: The checkpoint; other entries than ``state_dict`` and ``optimizer`` are not looked at.
        allowed: Names in ``state_dict`` that need not be finite.
    """
    weights = checkpoint.get("state_dict", {})
    found = [name for name, value in weights.items() if name not in allowed and not _is_finite(value)]
    return found + [
        name for name, value in _tensors(checkpoint.get("optimizer", {}), "optimizer") if not _is_finite(value)
    ]


def _tensors(node: Any, name: str) -> Iterator[tuple[str, Tensor]]:
    if isinstance(node, Tensor):
        yield name, node
    elif isinstance(node, dict):
        for key, value in node.items():
            yield from _tensors(value, f"{name}.{key}")


def _is_finite(value: Any) -> bool:
    floating = isinstance(value, Tensor) and value.is_floating_point()
    return not floating or bool(torch.isfinite(value).all())
