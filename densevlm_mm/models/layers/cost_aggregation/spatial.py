"""Spatial aggregation: shifted-window attention inside the cost map of each class (CAT-Seg, arXiv 2303.11797)."""

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from densevlm_mm.models.layers.cost_aggregation.guided import GuidedLinear

# B images, T classes, h x w cells, C channels; W windows, N cells of a window.


class GuidedSwinBlock(nn.Module):
    """Pre-norm window attention and MLP; queries and keys also see the image's guidance, values do not.

    No relative position bias. Windows never cross the border of the map after the cyclic shift (mask of -100).

    Args:
        channels: C of x and of the guidance.
        num_heads: Attention heads.
        window_size: Side of a window in cells; one window for maps that are no larger.
        shift: Cyclic shift in cells; none where one window covers the map.
        mlp_ratio: Width of the MLP over C.
    """

    def __init__(self, channels: int, num_heads: int, window_size: int, shift: int, mlp_ratio: int = 4) -> None:
        super().__init__()
        self.num_heads, self.window_size, self.shift = num_heads, window_size, shift
        self.norm1 = nn.LayerNorm(channels)
        self.q = GuidedLinear(channels, channels, channels)
        self.k = GuidedLinear(channels, channels, channels)
        self.v = nn.Linear(channels, channels)
        self.proj = nn.Linear(channels, channels)
        self.norm2 = nn.LayerNorm(channels)
        self.mlp = nn.Sequential(
            nn.Linear(channels, mlp_ratio * channels), nn.GELU(), nn.Linear(mlp_ratio * channels, channels)
        )

    def forward(self, x: Tensor, guidance: Tensor) -> Tensor:
        """Refine the maps.

        Args:
            x: (B, T, h, w, C).
            guidance: (B, 1, h, w, C).

        Returns:
            (B, T, h, w, C).

        Raises:
            ValueError: If the map is larger than a window but no multiple of it.
        """
        x = x + self._attend(self.norm1(x), guidance)
        return x + self.mlp(self.norm2(x))

    def _attend(self, y: Tensor, guidance: Tensor) -> Tensor:
        height, width = y.shape[2:4]
        window, shift = self.window_size, self.shift
        if min(height, width) <= window:
            # One window sees everything already: shifted, it would only forbid some of it by the mask.
            window, shift = min(height, width), 0
        if height % window or width % window:
            raise ValueError(
                f"a {height}x{width} map cannot be cut into windows of {window} cells: choose an image size whose grid "
                "is a multiple of window_size"
            )
        if shift:
            y, guidance = (maps.roll((-shift, -shift), dims=(2, 3)) for maps in (y, guidance))
        batch = y.shape[0] * y.shape[1]
        q, k, v = (
            # Windows and heads share an axis, so that one small mask serves all images and classes.
            maps.reshape(batch, height // window, window, width // window, window, self.num_heads, -1)
            .permute(0, 1, 3, 5, 2, 4, 6)
            .reshape(batch, -1, window * window, maps.shape[-1] // self.num_heads)
            for maps in (self.q(y, guidance), self.k(y, guidance), self.v(y))
        )
        mask = None
        if shift:
            mask = shifted_window_mask((height, width), window, shift, y.device).to(q.dtype)
            mask = mask.repeat_interleave(self.num_heads, dim=0)
        attended = scaled_dot_product_attention(q, k, v, attn_mask=mask)
        attended = (
            attended.reshape(batch, height // window, width // window, self.num_heads, window, window, -1)
            .permute(0, 1, 4, 2, 5, 3, 6)
            .reshape(y.shape)
        )
        if shift:
            attended = attended.roll((shift, shift), dims=(2, 3))
        return self.proj(attended)


def shifted_window_mask(
    size: tuple[int, int], window: int, shift: int, device: torch.device | str | None = None
) -> Tensor:
    """Return what to add to the attention logits so that cells from opposite borders do not see each other.

    Args:
        size: (h, w) of the map in cells, multiples of the window.
        window: Side of a window in cells.
        shift: Cyclic shift in cells.
        device: Where to make it.

    Returns:
        (W, N, N): 0 within one of the nine regions of the shifted map, -100 across.
    """
    rows, columns = (
        (cells >= side - window).long() + (cells >= side - shift).long()
        for side, cells in ((side, torch.arange(side, device=device)) for side in size)
    )
    regions = 3 * rows[:, None] + columns
    regions = (
        regions.reshape(size[0] // window, window, size[1] // window, window).transpose(1, 2).flatten(2).flatten(0, 1)
    )
    return torch.where(regions[:, :, None] == regions[:, None, :], 0.0, -100.0)


class SpatialAggregation(nn.Module):
    """Two :class:`GuidedSwinBlock`, the second one shifted, that share the norm of their guidance.

    Args:
        channels: C.
        num_heads: Attention heads.
        window_size: Side of a window in cells; the shift is half of it.
        mlp_ratio: Width of the MLP over C.
    """

    def __init__(self, channels: int, num_heads: int, window_size: int, mlp_ratio: int = 4) -> None:
        super().__init__()
        self.guidance_norm = nn.LayerNorm(channels)
        self.blocks = nn.ModuleList(
            GuidedSwinBlock(channels, num_heads, window_size, shift, mlp_ratio) for shift in (0, window_size // 2)
        )

    def forward(self, x: Tensor, guidance: Tensor) -> Tensor:
        """Refine the maps x (B, T, h, w, C) with the image's guidance (B, h, w, C)."""
        guidance = self.guidance_norm(guidance)[:, None]
        for block in self.blocks:
            x = block(x, guidance)
        return x
