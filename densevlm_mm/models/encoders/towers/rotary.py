"""Rotary position embeddings of any grid, as products of complex numbers."""

from collections.abc import Sequence
from typing import Any

import torch
from timm.layers import RotaryEmbeddingCat
from timm.models.eva import EvaAttention
from torch import Tensor, nn
from torch.nn.functional import linear, scaled_dot_product_attention

from densevlm_mm.models.encoders.towers.position_embedding import Grid


class RotaryTables:
    """Angles of an axial rotary embedding, computed once per grid.

    Args:
        rope: The tower's, whose own table is for one grid; no parameters are involved.
        num_prefix: Tokens before the patches, which are not rotated.

    Raises:
        ValueError: If it is not axial, or does not rotate neighbouring channels.
    """

    _MAX_GRIDS = 16

    def __init__(self, rope: nn.Module, num_prefix: int) -> None:
        if not isinstance(rope, RotaryEmbeddingCat) or rope.rotate_half:
            raise ValueError(f"rotary embedding {type(rope).__name__} is not supported: use an EVA-02 CLIP tower")
        self.num_prefix = num_prefix
        self._rope = RotaryEmbeddingCat(
            rope.dim,
            max_res=rope.max_res,
            temperature=rope.temperature,
            in_pixels=rope.in_pixels,
            linear_bands=rope.linear_bands,
            feat_shape=None,
            ref_feat_shape=rope.ref_feat_shape,
            grid_offset=rope.grid_offset,
            grid_indexing=rope.grid_indexing,
        ).eval()
        self._tables: dict[tuple[Grid, torch.device], Tensor] = {}

    def for_grid(self, grid: Grid, device: torch.device) -> Tensor:
        """Return cosine and sine for every token and pair of channels, (num_prefix + h * w, d / 2, 2) float32."""
        if torch.compiler.is_compiling():  # the grid is symbolic
            return self._compute(grid, device)
        key = (grid, device)
        if key not in self._tables:
            if len(self._tables) >= self._MAX_GRIDS:
                self._tables.pop(next(iter(self._tables)))
            # The table outlives the call: made in an evaluation's inference mode it could not be used in training,
            # made under autocast it would be coarse for everybody.
            with torch.inference_mode(False), torch.no_grad(), torch.autocast(device.type, enabled=False):
                self._tables[key] = self._compute(grid, device)
        return self._tables[key]

    def _compute(self, grid: Grid, device: torch.device) -> Tensor:
        # timm repeats each angle for the two channels of its pair.
        sines, cosines = self._rope.get_embed(list(grid))[:, ::2].chunk(2, dim=-1)
        table = torch.stack([cosines, sines], dim=-1).float()
        still = torch.tensor([1.0, 0.0]).expand(self.num_prefix, table.shape[1], 2)
        return torch.cat([still, table]).to(device)


class RotaryAttention(EvaAttention):
    """timm's attention that rotates by our tables; what an existing one becomes by taking this class."""

    def forward(
        self, x: Tensor, rope: Tensor | None = None, attn_mask: Tensor | None = None, is_causal: bool = False
    ) -> Tensor:
        """Attend.

        Args:
            x: (B, N, C).
            rope: a table of :class:`RotaryTables`; with timm's own, (N - prefix, 2 d), timm's code runs.
            attn_mask: See timm, whose code then runs.
            is_causal: Likewise.

        Returns:
            (B, N, C).
        """
        if rope is None or rope.ndim != 3 or attn_mask is not None or is_causal:
            return super().forward(x, rope=rope, attn_mask=attn_mask, is_causal=is_causal)
        parts: Sequence[Tensor]
        if self.qkv is None:
            parts = [self.q_proj(x), self.k_proj(x), self.v_proj(x)]
        else:
            biases: Any = (self.q_bias, self.k_bias, self.v_bias)
            bias = None if self.q_bias is None else torch.cat(biases)
            parts = linear(x, self.qkv.weight, bias).chunk(3, dim=-1)
        query, key, values = (part.unflatten(-1, (self.num_heads, -1)).transpose(1, 2) for part in parts)
        query, key = (rotate(part, rope).to(values.dtype) for part in (self.q_norm(query), self.k_norm(key)))
        attended = self.norm(scaled_dot_product_attention(query, key, values).transpose(1, 2).flatten(2))
        return self.proj(attended if self.gate is None else attended * self.gate(x).sigmoid())


def rotate(x: Tensor, table: Tensor) -> Tensor:
    """Rotate pairs of neighbouring channels, in float32 at least.

    One product of complex numbers in the place of timm's slices, negations, sums and concatenations: the same values in
    a fifth of the time. ``torch.compile`` and ``torch.export``, which cannot fuse complex numbers, see real ones.

    Args:
        x: (B, heads, N, d) queries or keys.
        table: (N, d / 2, 2), see :meth:`RotaryTables.for_grid`.

    Returns:
        (B, heads, N, d) in the type of x.
    """
    pairs = x.to(torch.promote_types(x.dtype, torch.float32)).unflatten(-1, (-1, 2))
    if torch.compiler.is_compiling():
        (even, odd), (cosine, sine) = pairs.unbind(-1), table.unbind(-1)
        rotated = torch.stack([even * cosine - odd * sine, odd * cosine + even * sine], dim=-1)
    else:
        rotated = torch.view_as_real(torch.view_as_complex(pairs) * torch.view_as_complex(table))
    return rotated.flatten(-2).to(x.dtype)
