"""The parts of a loss, for the message when their sum is not finite."""

from typing import Any

from torch import Tensor, nn


class LossParts:
    """Remember what a model's last forward pass in mode ``loss`` returned: ``train_step`` hands on the sum alone.

    Args:
        model: The model behind its wrappers.
    """

    def __init__(self, model: nn.Module) -> None:
        self._parts: dict[str, Any] = {}
        self._handle = model.register_forward_hook(self._remember, with_kwargs=True)

    def close(self) -> None:
        """Stop listening."""
        self._handle.remove()

    def values(self) -> dict[str, float]:
        """The parts by name; a list of parts, of several heads or scales, as its sum."""
        return {name: _number(part) for name, part in self._parts.items()}

    def _remember(self, module: nn.Module, args: tuple, kwargs: dict, output: Any) -> None:
        if kwargs.get("mode") == "loss" and isinstance(output, dict):
            self._parts = {name: _detached(part) for name, part in output.items()}


def _detached(part: Any) -> Any:
    if isinstance(part, list | tuple):
        return [_detached(item) for item in part]
    return part.detach() if isinstance(part, Tensor) else part


def _number(part: Any) -> float:
    if isinstance(part, list):
        return sum(map(_number, part))
    return float(part.float().mean()) if isinstance(part, Tensor) else float(part)
