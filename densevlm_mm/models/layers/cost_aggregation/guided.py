"""Layers on ``concat[x, guidance]`` where the same guidance accompanies the maps of many classes."""

import torch.nn.functional as F
from torch import Tensor, nn


class GuidedLinear(nn.Linear):
    """``nn.Linear`` of ``concat[x, guidance]``, the guidance's share computed once for all that it is repeated over.

    A linear map of a concatenation is the sum of two linear maps; parameters and results are those of the plain layer,
    but the concatenation is never made and the guidance, broadcast over an axis, is multiplied only once.

    Args:
        channels: Channels of x.
        guidance_channels: Channels of the guidance.
        out_channels: Channels of the result.
    """

    def __init__(self, channels: int, guidance_channels: int, out_channels: int) -> None:
        super().__init__(channels + guidance_channels, out_channels)
        self.channels = channels

    def forward(self, x: Tensor, guidance: Tensor) -> Tensor:  # type: ignore[override]
        """Map x (..., channels) and guidance, which may have axes of length 1 where x has more, to (..., out)."""
        own, guiding = self.weight.split([self.channels, self.in_features - self.channels], dim=1)
        return F.linear(x, own) + F.linear(guidance, guiding, self.bias)


class GuidedConv2d(nn.Conv2d):
    """3x3 ``nn.Conv2d`` without bias of ``concat[x, guidance]``, the guidance's share computed once for all classes.

    Args:
        channels: Channels of x.
        guidance_channels: Channels of the guidance.
        out_channels: Channels of the result.
    """

    def __init__(self, channels: int, guidance_channels: int, out_channels: int) -> None:
        super().__init__(channels + guidance_channels, out_channels, 3, padding=1, bias=False)
        self.channels = channels

    def forward(self, x: Tensor, guidance: Tensor) -> Tensor:  # type: ignore[override]
        """Convolve.

        Args:
            x: (B * T, channels, h, w), the T classes of an image one after another.
            guidance: (B, guidance_channels, h, w).

        Returns:
            (B * T, out_channels, h, w).
        """
        own, guiding = self.weight.split([self.channels, self.in_channels - self.channels], dim=1)
        of_images = F.conv2d(guidance, guiding, padding=1)
        of_classes = F.conv2d(x, own, padding=1).unflatten(0, (guidance.shape[0], -1))
        return (of_classes + of_images[:, None]).flatten(0, 1)
