"""Which way an encoder reads its tower densely: the last block with its residual, or the values of the last layers."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn

from densevlm_mm.models.encoders.towers import Tower, TransformerTower

DensePathConfig = str | Mapping[str, Any]


@dataclass(frozen=True)
class DensePath:
    """The dense path of an encoder.

    'residual' is that of CLIPSelf and DenseVLM: the last block with its attention reduced to the value path, residual
    and MLP as the tower defines them. 'values' is our reading of DenseRC (CVPR 2026), which we know from a summary
    alone: the sum of the attention branches of the last ``layers`` blocks on their value path, without attention over
    positions, residual or MLP. That output projection, final norm and visual projection are kept is our choice.

    Attributes:
        layers: How many of the last blocks are summed; 0 is the path 'residual'.
        gate: Weigh the heads of each position by ``2 * sigmoid(W y + b)``, y the block's normed input; one W and b for
            all layers, 0 at the start, so that a gated path begins as the one without.
    """

    layers: int = 0
    gate: bool = False

    @classmethod
    def parse(cls, config: DensePathConfig) -> "DensePath":
        """Read 'residual', or ``dict(type='values', layers=3, gate=False)``.

        Raises:
            ValueError: If it is something else.
        """
        if config == "residual":
            return cls()
        given = dict(config) if isinstance(config, Mapping) else {}
        kind, layers, gate = given.pop("type", None), given.pop("layers", 3), given.pop("gate", False)
        if kind == "residual" and not given and (layers, gate) == (3, False):
            return cls()
        is_count = isinstance(layers, int) and not isinstance(layers, bool)
        if kind != "values" or given or not is_count or layers < 1 or not isinstance(gate, bool):
            raise ValueError(
                f"dense_path must be 'residual' or dict(type='values', layers=3, gate=False), with at least one layer, "
                f"got {config!r}"
            )
        return cls(layers, gate)

    @classmethod
    def resolve(cls, asked: DensePathConfig | None, recorded: DensePathConfig | None, checkpoint: str) -> "DensePath":
        """Take what the weights were trained with, or what is asked for where they do not say it.

        Args:
            asked: The argument; None for none.
            recorded: What the checkpoint says; None if it does not.
            checkpoint: Its name, for the message.

        Raises:
            ValueError: If the two contradict each other.
        """
        if recorded is None:
            return cls.parse("residual" if asked is None else asked)
        path = cls.parse(recorded)
        if asked is not None and cls.parse(asked) != path:
            raise ValueError(
                f"checkpoint {checkpoint!r} was trained with dense_path={path.config}, got dense_path="
                f"{cls.parse(asked).config}: leave it out, the checkpoint's counts"
            )
        return path

    @property
    def config(self) -> str | dict[str, Any]:
        """The path as :meth:`parse` reads it, and as files keep it."""
        return {"type": "values", "layers": self.layers, "gate": self.gate} if self.layers else "residual"

    def set_up(self, tower: Tower, model_name: str) -> nn.Linear | None:
        """Make a tower read this path.

        Args:
            tower: The adapter.
            model_name: For messages.

        Returns:
            The gate, a layer of C inputs and an output a head, all 0; None without one.

        Raises:
            ValueError: If the tower has no such path.
        """
        if not self.layers:
            return None
        if not isinstance(tower, TransformerTower) or not tower.last_block_is_value_path:
            kind = "pools by attention" if isinstance(tower, TransformerTower) else "is no transformer"
            raise ValueError(
                f"dense_path={self.config} sums values of a transformer's last blocks, {model_name!r} {kind}: use "
                "dense_path='residual'"
            )
        if self.layers > tower.num_blocks:
            raise ValueError(
                f"dense_path.layers must be in 1..{tower.num_blocks}, the blocks of {model_name!r}, got {self.layers}"
            )
        if tower.dense_residual == "cls":
            raise ValueError(
                f"dense_residual='cls' is what the last block is added to, and dense_path={self.config} adds it to "
                "nothing: use one of the two"
            )
        tower.value_layers = self.layers
        if self.gate:
            tower.value_gate = nn.Linear(tower.width, tower.num_heads)
            nn.init.zeros_(tower.value_gate.weight)
            nn.init.zeros_(tower.value_gate.bias)
        return tower.value_gate
