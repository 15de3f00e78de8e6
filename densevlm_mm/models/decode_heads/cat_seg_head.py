"""CAT-Seg's decode head: guidance from intermediate maps, cost aggregation, loss (arXiv 2303.11797)."""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from mmseg.registry import MODELS
from torch import Tensor, nn

from densevlm_mm.models.layers.cost_aggregation import CostAggregator

# B images, T classes, P prompts, D embedding size, V tower width; h x w the grid of patches.


@MODELS.register_module()
class CATSegHead(BaseModule):
    """Turns a dense map, two intermediate maps and class embeddings into a logit map for each class.

    Args:
        embed_dim: D; :class:`CATSeg` takes it from its image encoder.
        in_channels: V; :class:`CATSeg` takes it from its image encoder.
        guidance_channels: Channels of the two intermediate maps after the transposed convolutions that bring them to
            2 and 4 times the resolution of the grid.
        aggregator: Further arguments of :class:`CostAggregator`.
        loss_decode: Config of the loss.
        ignore_index: Label of pixels that do not count, for a loss that names none itself; 255 leaves it to the loss.
        init_cfg: As in mmengine; None keeps PyTorch's default initialisation, as published.
    """

    align_corners = False

    def __init__(
        self,
        embed_dim: int,
        in_channels: int,
        guidance_channels: Sequence[int] = (256, 128),
        aggregator: dict[str, Any] | None = None,
        loss_decode: dict[str, Any] | None = None,
        ignore_index: int = 255,
        init_cfg: dict | list | None = None,
    ) -> None:
        super().__init__(init_cfg)
        coarse, fine = guidance_channels
        self.upsample1 = nn.ConvTranspose2d(in_channels, coarse, 2, 2)
        self.upsample2 = nn.ConvTranspose2d(in_channels, fine, 4, 4)
        self.aggregator = CostAggregator(embed_dim, guidance_channels, **(aggregator or {}))
        loss = dict(loss_decode or dict(type="PixelBinaryCrossEntropyLoss"))
        if ignore_index != 255:
            loss.setdefault("ignore_labels", (ignore_index,))
        self.loss_decode = MODELS.build(loss)

    def forward(self, dense: Tensor, taps: Sequence[Tensor], text: Tensor) -> Tensor:
        """Segment.

        Args:
            dense: (B, D, h, w), not normalised.
            taps: Two intermediate maps (B, V, h, w), the earlier block's first.
            text: Class embeddings (T, P, D), unit norm.

        Returns:
            Logits (B, T, 4h, 4w).
        """
        first, second = taps
        return self.aggregator(dense, text, (self.upsample1(first), self.upsample2(second)))

    def loss(self, logits: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """Compare with the ground truth at its own resolution.

        Args:
            logits: (B, T, 4h, 4w).
            labels: (B, H, W) int64.

        Returns:
            ``loss_seg``, and for the log ``acc_seg``, the share in percent of the labelled pixels that are right.
        """
        logits = F.interpolate(logits.float(), size=labels.shape[-2:], mode="bilinear", align_corners=False)
        with torch.no_grad():
            is_class = labels < logits.shape[1]
            hits = (logits.argmax(dim=1) == labels) & is_class
            accuracy = 100 * hits.sum() / is_class.sum().clamp(min=1)
        return dict(loss_seg=self.loss_decode(logits, labels), acc_seg=accuracy)
