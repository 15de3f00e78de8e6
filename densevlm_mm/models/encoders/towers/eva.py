"""EVA and EVA-02 towers (``timm.models.eva.Eva`` inside open_clip's ``TimmModel``)."""

from typing import Any

import torch
from open_clip.timm_model import TimmModel
from timm.models.eva import EvaAttention, EvaBlock, EvaBlockPostNorm
from torch import Tensor, nn

from densevlm_mm.models.encoders.towers.base import Grid
from densevlm_mm.models.encoders.towers.rotary import RotaryAttention, RotaryTables
from densevlm_mm.models.encoders.towers.split_projection import (
    query_key_parameters,
    query_value_weights,
    split_projection,
    value_projection,
)
from densevlm_mm.models.encoders.towers.timm_transformer import TimmTransformerTower
from densevlm_mm.models.encoders.towers.transformer import weigh_heads


class EvaTower(TimmTransformerTower):
    """Last block on the dense path: ``x += proj(norm_attn(V norm1(x)))``, ``x += mlp(norm2(x))``.

    ``norm_attn`` is the inner sub-LN of EVA-02 (timm: ``attn.norm``). Query, key and value are one layer (EVA-01) or
    three (EVA-02 CLIP). Rotary tables are computed for the grid at hand: open_clip builds the towers with a table for
    one fixed grid.

    Raises:
        ValueError: For attention pooling, for blocks other than EVA's, for rotary embeddings that are not axial.
    """

    def __init__(self, visual: TimmModel) -> None:
        super().__init__(visual)
        if self.trunk.attn_pool is not None:
            raise ValueError("EVA towers with attention pooling (Perception Encoder) have no dense path here")
        for block in self.trunk.blocks:
            if not isinstance(block, (EvaBlock, EvaBlockPostNorm)) or not isinstance(block.attn, EvaAttention):
                names = f"{type(block).__name__} with {type(block.attn).__name__}"
                raise ValueError(f"blocks of type {names} have no dense path: use an EVA or EVA-02 CLIP tower")
        rope = self.trunk.rope
        self._rotary = None if rope is None else RotaryTables(rope, self.num_prefix)
        if rope is not None:
            for block in self.trunk.blocks:
                block.attn.__class__ = RotaryAttention

    def rotary(self, grid: Grid, device: torch.device) -> Tensor | None:
        """See base class."""
        return None if self._rotary is None else self._rotary.for_grid(grid, device)

    def run_block(self, block: nn.Module, tokens: Tensor, rope: Tensor | None) -> Tensor:
        """See base class."""
        return block(tokens, rope=rope)

    def value_branch(self, block: Any, tokens: Tensor, gate: nn.Linear | None = None) -> Tensor:
        """See base class."""
        if isinstance(block, EvaBlockPostNorm):
            return block.norm1(self._attend_self(block.attn, tokens, gate))
        attended = self._attend_self(block.attn, block.norm1(tokens), gate)
        return attended if block.gamma_1 is None else block.gamma_1 * attended

    def feed_forward(self, block: Any, tokens: Tensor) -> Tensor:
        """See base class."""
        if isinstance(block, EvaBlockPostNorm):
            return block.norm2(block.mlp(tokens))
        mapped = block.mlp(block.norm2(tokens))
        return mapped if block.gamma_2 is None else block.gamma_2 * mapped

    @staticmethod
    def _attend_self(attention: Any, tokens: Tensor, gate: nn.Linear | None) -> Tensor:
        if attention.qkv is None:
            values = attention.v_proj(tokens)
        else:
            values = nn.functional.linear(tokens, value_projection(attention.qkv)[0], attention.v_bias)
        values = attention.norm(weigh_heads(values, tokens, gate))
        if attention.gate is not None:
            values = values * attention.gate(tokens).sigmoid()
        return attention.proj(values)

    def feed_forward_parameters(self, block: Any) -> set[nn.Parameter]:
        """See base class."""
        scale = getattr(block, "gamma_2", None)
        return {*block.norm2.parameters(), *block.mlp.parameters(), *([] if scale is None else [scale])}

    def query_value_weights(self) -> set[nn.Parameter]:
        """See base class."""
        weights: set[nn.Parameter] = set()
        for block in self.trunk.blocks:
            attention = block.attn
            if attention.qkv is None:
                weights |= {attention.q_proj.weight, attention.v_proj.weight}
            else:
                weights |= query_value_weights(attention.qkv)
        return weights

    def split_query_key(self, block: Any) -> set[nn.Parameter]:
        """See base class."""
        attention = block.attn
        unused = {*attention.q_norm.parameters(), *attention.k_norm.parameters()}
        if attention.qkv is None:
            return unused | {*attention.q_proj.parameters(), *attention.k_proj.parameters()}
        split_projection(attention.qkv)
        unused |= query_key_parameters(attention.qkv)
        return unused | ({attention.q_bias} if attention.q_bias is not None else set())
