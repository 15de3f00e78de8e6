"""From a dense map and class embeddings to a logit map for each class (CAT-Seg, arXiv 2303.11797)."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize
from torch.utils.checkpoint import checkpoint

from densevlm_mm.models.layers.cost_aggregation.classwise import ClassAggregation
from densevlm_mm.models.layers.cost_aggregation.decoder import CostDecoder
from densevlm_mm.models.layers.cost_aggregation.spatial import SpatialAggregation

# B images, T classes (S of them chosen), P prompts, D embedding size, h x w cells, C channels.

_UNCHOSEN_LOGIT = -100.0


class AggregationLayer(nn.Module):
    """Spatial, then class aggregation. The arguments are those of :class:`CostAggregator`."""

    def __init__(self, channels: int, num_heads: int, window_size: int, num_tokens: int, mlp_ratio: int) -> None:
        super().__init__()
        self.spatial = SpatialAggregation(channels, num_heads, window_size, mlp_ratio)
        self.classwise = ClassAggregation(channels, num_heads, num_tokens, mlp_ratio)


class CostAggregator(nn.Module):
    """Embeds the cosine map of every class and refines it among positions, among classes, and in resolution.

    Args:
        embed_dim: D of dense map and class embeddings.
        guidance_channels: Channels of the two finer guidance maps, coarse one first.
        channels: C, width of the aggregator.
        num_prompts: P, prompts a class.
        num_layers: Layers of spatial and class aggregation.
        num_heads: Heads of both attentions.
        window_size: Side of the spatial windows in cells.
        mlp_ratio: Width of the MLPs over C.
        decoder_guidance_channels: Widths that the two guidance maps are projected to.
        decoder_channels: Widths of the two decoder steps.
        max_classes: The class attention's sequence length. Of a larger vocabulary each image keeps the classes with the
            highest cosine anywhere; the others get a constant logit of -100. Fewer classes are filled up.
        pool: Side of the pooling before class attention, in training and in tests.
        class_chunk_size: Classes that spatial aggregation and decoder, which treat each class alone, take at a time;
            None takes all. Bounds memory without gradients; with them together with ``grad_checkpointing``.
        grad_checkpointing: Recompute spatial aggregation and decoder in the backward pass to save memory.
    """

    def __init__(
        self,
        embed_dim: int,
        guidance_channels: Sequence[int] = (256, 128),
        channels: int = 128,
        num_prompts: int = 1,
        num_layers: int = 2,
        num_heads: int = 4,
        window_size: int = 12,
        mlp_ratio: int = 4,
        decoder_guidance_channels: Sequence[int] = (32, 16),
        decoder_channels: Sequence[int] = (64, 32),
        max_classes: int = 256,
        pool: tuple[int, int] = (2, 1),
        class_chunk_size: int | None = None,
        grad_checkpointing: bool = False,
    ) -> None:
        super().__init__()
        if class_chunk_size is not None and class_chunk_size < 1:
            raise ValueError(f"class_chunk_size must be at least 1, or None for all classes, got {class_chunk_size}")
        self.num_prompts, self.max_classes, self.pool = num_prompts, max_classes, tuple(pool)
        self.class_chunk_size, self.grad_checkpointing = class_chunk_size, grad_checkpointing
        self.cost_embedding = nn.Conv2d(num_prompts, channels, 7, padding=3)
        self.appearance_guidance = nn.Sequential(nn.Conv2d(embed_dim, channels, 3, padding=1), nn.ReLU())
        self.text_guidance = nn.Sequential(nn.Linear(embed_dim, channels), nn.ReLU())
        self.decoder_guidance = nn.ModuleList(
            nn.Sequential(nn.Conv2d(wide, narrow, 3, padding=1), nn.ReLU())
            for wide, narrow in zip(guidance_channels, decoder_guidance_channels, strict=True)
        )
        self.layers = nn.ModuleList(
            AggregationLayer(channels, num_heads, window_size, max_classes, mlp_ratio) for _ in range(num_layers)
        )
        self.decoder = CostDecoder(channels, decoder_guidance_channels, decoder_channels)

    def forward(self, dense: Tensor, text: Tensor, guidance: Sequence[Tensor]) -> Tensor:
        """Segment.

        Args:
            dense: (B, D, h, w), any norm.
            text: Class embeddings (T, P, D), unit norm.
            guidance: (B, C_1, 2h, 2w) and (B, C_2, 4h, 4w).

        Returns:
            Logits (B, T, 4h, 4w).

        Raises:
            ValueError: If the number of prompts is not the one the aggregator was built for.
        """
        if text.shape[1] != self.num_prompts:
            raise ValueError(f"the aggregator is built for num_prompts={self.num_prompts}, got {text.shape[1]} a class")
        cost = cosine_maps(dense, text)  # (B, T, P, h, w)
        text_guidance = self.text_guidance(normalize(text.mean(dim=1), dim=-1))[None]
        appearance = self.appearance_guidance(dense).permute(0, 2, 3, 1)
        finer = [project(maps) for project, maps in zip(self.decoder_guidance, guidance, strict=True)]

        num_classes = text.shape[0]
        chosen = None
        # Attention between classes is quadratic in their number; classes that no cell resembles cannot win a pixel.
        if num_classes > self.max_classes:
            chosen = cost.detach().amax(dim=(2, 3, 4)).topk(self.max_classes, dim=1).indices  # (B, S)
            cost = cost[torch.arange(len(cost), device=cost.device)[:, None], chosen]
            text_guidance = text_guidance[0, chosen]

        x = self.cost_embedding(cost.flatten(0, 1)).permute(0, 2, 3, 1).unflatten(0, cost.shape[:2])
        pool = self.pool[0 if self.training else 1]
        layer: Any  # nn.ModuleList does not say what it holds
        for layer in self.layers:
            x = self._by_class(layer.spatial, x, appearance)
            x = layer.classwise(x, text_guidance, pool)
        logits = self._by_class(self.decoder, x, finer)
        if chosen is None:
            return logits
        everywhere = logits.new_full((len(logits), num_classes, *logits.shape[2:]), _UNCHOSEN_LOGIT)
        return everywhere.scatter(1, chosen[:, :, None, None].expand_as(logits), logits)

    def _by_class(self, function: Callable[..., Tensor], x: Tensor, guidance: Tensor | Sequence[Tensor]) -> Tensor:
        chunks = x.split(self.class_chunk_size or x.shape[1], dim=1)
        if self.grad_checkpointing and torch.is_grad_enabled():
            # There is no dropout whose random state would have to be replayed.
            results = [checkpoint(function, c, guidance, use_reentrant=False, preserve_rng_state=False) for c in chunks]
        else:
            results = [function(chunk, guidance) for chunk in chunks]
        return results[0] if len(results) == 1 else torch.cat(results, dim=1)


def cosine_maps(dense: Tensor, text: Tensor) -> Tensor:
    """Cosines of every position with every prompt, in float32 even under autocast.

    Args:
        dense: (B, D, h, w), any norm.
        text: (T, P, D), unit norm.

    Returns:
        (B, T, P, h, w).
    """
    with torch.autocast(dense.device.type, enabled=False):
        return torch.einsum("bdhw,tpd->btphw", normalize(dense.float(), dim=1), text.float())
