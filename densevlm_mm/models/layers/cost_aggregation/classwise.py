"""Class aggregation: linear attention between the classes at each position (CAT-Seg, arXiv 2303.11797)."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from densevlm_mm.models.layers.cost_aggregation.guided import GuidedLinear

# B images, T classes, h x w cells, C channels; L pooled cells, H heads, d and e channels of a head.

_EPS = 1e-6


class ClassAggregation(nn.Module):
    """Attention over the classes at every cell of the pooled maps, without output projection, and MLP.

    The classes are filled up to ``num_tokens`` with copies of one learnable token (and of one learnable guidance token)
    that nobody masks. In linear attention they enter two sums only, so the token is computed once and counted.

    Args:
        channels: C of x and of the guidance.
        num_heads: Attention heads.
        num_tokens: Length that the sequence of classes is filled up to.
        mlp_ratio: Width of the MLP over C.
    """

    def __init__(self, channels: int, num_heads: int, num_tokens: int = 256, mlp_ratio: int = 4) -> None:
        super().__init__()
        self.num_heads, self.num_tokens = num_heads, num_tokens
        self.pad_token = nn.Parameter(torch.zeros(1, 1, channels))
        self.pad_guidance = nn.Parameter(torch.zeros(1, 1, channels))
        self.norm1 = nn.LayerNorm(channels)
        self.q = GuidedLinear(channels, channels, channels)
        self.k = GuidedLinear(channels, channels, channels)
        self.v = nn.Linear(channels, channels)
        self.norm2 = nn.LayerNorm(channels)
        self.mlp = nn.Sequential(
            nn.Linear(channels, mlp_ratio * channels), nn.ReLU(), nn.Linear(mlp_ratio * channels, channels)
        )

    def forward(self, x: Tensor, guidance: Tensor, pool: int) -> Tensor:
        """Refine the maps; the pooled input itself is part of what is added to them.

        Args:
            x: (B, T, h, w, C).
            guidance: (B or 1, T, C) of the classes.
            pool: Side of the average pooling in cells; 1 for none.

        Returns:
            (B, T, h, w, C).
        """
        batch, classes, height, width = x.shape[:4]
        pooled = x
        if pool > 1:
            maps = F.avg_pool2d(x.flatten(0, 1).permute(0, 3, 1, 2), pool)
            pooled = maps.permute(0, 2, 3, 1).unflatten(0, (batch, classes))
        grid = pooled.shape[2:4]
        tokens = pooled.flatten(2, 3).transpose(1, 2)  # (B, L, T, C)
        tokens = tokens + self._attend(self.norm1(tokens), guidance[:, None])
        tokens = tokens + self.mlp(self.norm2(tokens))
        refined = tokens.transpose(1, 2)  # (B, T, L, C)
        if pool > 1:
            maps = refined.unflatten(2, grid).flatten(0, 1).permute(0, 3, 1, 2)
            maps = F.interpolate(maps, size=(height, width), mode="bilinear", align_corners=True)
            return x + maps.permute(0, 2, 3, 1).unflatten(0, (batch, classes))
        return x + refined.unflatten(2, grid)

    def _attend(self, y_BLTC: Tensor, guidance: Tensor) -> Tensor:
        pad = self.norm1(self.pad_token)[None]
        projected = (
            self.q(y_BLTC, guidance),
            self.k(y_BLTC, guidance),
            self.v(y_BLTC),
            self.k(pad, self.pad_guidance[None]),
            self.v(pad),
        )
        # Sums over hundreds of tokens: in full precision under autocast too.
        with torch.autocast(y_BLTC.device.type, enabled=False):
            q, k, v, pad_k, pad_v = (part.float().unflatten(-1, (self.num_heads, -1)) for part in projected)
            q, k, pad_k = (F.elu(part) + 1 for part in (q, k, pad_k))
            # Not negative: the aggregator chooses at most num_tokens classes. Zero keeps the tokens in the graph.
            num_pads = max(0, self.num_tokens - y_BLTC.shape[2])
            sums_BLHde = torch.einsum("blthd,blthe->blhde", k, v)
            sums_BLHde = sums_BLHde + num_pads * torch.einsum("blthd,blthe->blhde", pad_k, pad_v)
            norms_BLHd = k.sum(dim=2) + num_pads * pad_k.sum(dim=2)
            weighted = torch.einsum("blthd,blhde->blthe", q, sums_BLHde)
            return (weighted / (torch.einsum("blthd,blhd->blth", q, norms_BLHd)[..., None] + _EPS)).flatten(3)
