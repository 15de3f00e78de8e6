"""How much of the trained weights an ensemble takes, the same everywhere or more from block to block."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

AlphaConfig = float | str | Mapping[str, float]

# A block, or a stage of a convolutional tower, in the names of an image tower: OpenCLIP's, timm's, OpenAI's ResNets'.
_BLOCK = re.compile(r"(?:^|\.)visual\.(?:transformer\.resblocks\.|trunk\.blocks\.|trunk\.stages\.|layer)(\d+)\.")


def block_number(name: str) -> int | None:
    """The block that a parameter of an image tower belongs to; None for those outside of blocks."""
    found = _BLOCK.search(name)
    return None if found is None else int(found[1])


@dataclass(frozen=True)
class EnsembleAlpha:
    """Weight of the trained parameters in ``alpha * trained + (1 - alpha) * initial``, by depth.

    Of n blocks, block l from 0 gets ``first + (last - first) * l / (n - 1)``; a single one gets ``first``. Parameters
    outside the blocks get ``last``.

    Attributes:
        first: In the first block, in [0, 1].
        last: In the last block, in [0, 1].
    """

    first: float
    last: float

    @classmethod
    def parse(cls, alpha: "AlphaConfig | EnsembleAlpha", name: str = "alpha") -> "EnsembleAlpha":
        """Read a number, ``dict(first=..., last=...)``, or 'FIRST:LAST', as command lines have it.

        Args:
            alpha: What was given.
            name: Of the argument, for messages.

        Raises:
            ValueError: If it is something else, or a number is outside [0, 1].
        """
        if isinstance(alpha, EnsembleAlpha):
            return alpha
        try:
            first, last = cls._ends(alpha)
        except (ValueError, TypeError, KeyError):
            raise ValueError(
                f"{name} must be a number, dict(first=..., last=...) or FIRST:LAST, got {alpha!r}"
            ) from None
        for value in (first, last):
            if not 0 <= value <= 1:
                raise ValueError(f"{name} must be in [0, 1], got {value}; the published script uses 0.9.")
        return cls(first, last)

    @staticmethod
    def _ends(alpha: Any) -> tuple[float, float]:
        if isinstance(alpha, Mapping):
            if alpha.keys() != {"first", "last"}:
                raise KeyError
            return float(alpha["first"]), float(alpha["last"])
        ends = alpha.split(":") if isinstance(alpha, str) else [alpha]
        if len(ends) > 2:
            raise ValueError
        return float(ends[0]), float(ends[-1])

    @property
    def config(self) -> float | dict[str, float]:
        """As :meth:`parse` reads it, and as checkpoints keep it: a number where all are equal."""
        return self.first if self.first == self.last else {"first": self.first, "last": self.last}

    def __str__(self) -> str:
        """The number, or what there is at both ends."""
        if self.first == self.last:
            return f"{self.first:g}"
        return f"{self.first:g} in the first block to {self.last:g} in the last"

    @property
    def formula(self) -> str:
        """What is evaluated, for logs."""
        if self.first == self.last:
            return f"{self.first:g} * trained + {1 - self.first:g} * initial weights"
        return f"a * trained + (1 - a) * initial weights (a from {self})"

    def by_name(self, names: Iterable[str]) -> dict[str, float]:
        """The weight of each parameter of a model with one image tower.

        Args:
            names: Of all its parameters, with or without a prefix: the depth follows from them.
        """
        blocks = {name: block_number(name) for name in names}
        # ResNets count their stages from 1.
        present = sorted({block for block in blocks.values() if block is not None})
        values = {block: self._at(place, len(present)) for place, block in enumerate(present)}
        return {name: self.last if block is None else values[block] for name, block in blocks.items()}

    def blend(self, trained: Mapping[str, Tensor], initial: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The ensemble of two state dicts.

        Args:
            trained: All parameters of a model with one image tower: the depth follows from their names.
            initial: Of some of them, floating-point.

        Returns:
            The ensemble of those in ``initial``, in the type and on the device of the trained ones.
        """
        alphas = self.by_name(trained)
        return {name: _blend(trained[name], start, alphas[name]) for name, start in initial.items()}

    def _at(self, place: int, count: int) -> float:
        if place == count - 1 and count > 1:
            return self.last  # to the bit
        return self.first + (self.last - self.first) * place / max(count - 1, 1)


def _blend(trained: Tensor, initial: Tensor, alpha: float) -> Tensor:
    dtype = torch.promote_types(trained.dtype, torch.float32)
    # lerp is exact where nothing changed and for alpha 0 and 1.
    return torch.lerp(initial.to(trained.device, dtype), trained.to(dtype), alpha).to(trained.dtype)
