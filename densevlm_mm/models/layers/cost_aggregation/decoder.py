"""Upsampling decoder of the aggregated cost maps (CAT-Seg, arXiv 2303.11797)."""

from collections.abc import Sequence

from torch import Tensor, nn

from densevlm_mm.models.layers.cost_aggregation.guided import GuidedConv2d

_GROUP = 16  # channels of a group of GroupNorm


class GuidedUpsampling(nn.Module):
    """Twice the resolution: transposed convolution, then two 3x3 convolutions, the first of which sees the guidance.

    Args:
        channels: Channels of the input; the transposed convolution leaves ``channels - guidance_channels``.
        guidance_channels: Channels of the guidance.
        out_channels: Channels of the result.
    """

    def __init__(self, channels: int, guidance_channels: int, out_channels: int) -> None:
        super().__init__()
        kept = channels - guidance_channels
        self.up = nn.ConvTranspose2d(channels, kept, 2, 2)
        self.conv1 = GuidedConv2d(kept, guidance_channels, out_channels)
        self.norm1 = nn.GroupNorm(max(1, out_channels // _GROUP), out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False)
        self.norm2 = nn.GroupNorm(max(1, out_channels // _GROUP), out_channels)

    def forward(self, x: Tensor, guidance: Tensor) -> Tensor:
        """Decode x (B * T, channels, h, w) with guidance (B, guidance_channels, 2h, 2w)."""
        x = self.norm1(self.conv1(self.up(x), guidance)).relu()
        return self.norm2(self.conv2(x)).relu()


class CostDecoder(nn.Module):
    """Four times the resolution in two steps, then one logit a pixel; every class by itself.

    Args:
        channels: C of the aggregated maps.
        guidance_channels: Channels of the two guidance maps, coarse one first.
        decoder_channels: Channels after the two steps.
    """

    def __init__(self, channels: int, guidance_channels: Sequence[int], decoder_channels: Sequence[int]) -> None:
        super().__init__()
        inputs = (channels, decoder_channels[0])
        self.steps = nn.ModuleList(
            GuidedUpsampling(*sizes) for sizes in zip(inputs, guidance_channels, decoder_channels, strict=True)
        )
        self.head = nn.Conv2d(decoder_channels[1], 1, 3, padding=1)

    def forward(self, x: Tensor, guidance: Sequence[Tensor]) -> Tensor:
        """Decode.

        Args:
            x: (B, T, h, w, C).
            guidance: (B, C_1, 2h, 2w) and (B, C_2, 4h, 4w).

        Returns:
            Logits (B, T, 4h, 4w).
        """
        batch = x.shape[0]
        maps = x.flatten(0, 1).permute(0, 3, 1, 2)
        for step, guiding in zip(self.steps, guidance, strict=True):
            maps = step(maps, guiding)
        return self.head(maps)[:, 0].unflatten(0, (batch, -1))
