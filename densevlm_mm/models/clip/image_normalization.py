"""The one way in which images are normalised for a tower."""

from functools import lru_cache

import torch
from torch import Tensor


def normalize_images(images: Tensor, mean: tuple[float, ...], std: tuple[float, ...], max_value: float = 255) -> Tensor:
    """Normalise images as a tower's weights were trained with.

    The range is never guessed: a dark image in 0-255 looks like one in 0-1.

    Args:
        images: RGB (..., 3, H, W), any dtype, from 0 to ``max_value``.
        mean: Of each channel, 0-1 scale.
        std: Of each channel, 0-1 scale.
        max_value: White: 255 as images are read, 1 for those of ``torchvision.transforms.ToTensor``.

    Returns:
        ``(images / max_value - mean) / std``, float32.

    Raises:
        ValueError: If there are not three channels.
    """
    if images.ndim < 3 or images.shape[-3] != 3:
        raise ValueError(f"images must be RGB (..., 3, H, W), got shape {tuple(images.shape)}")
    # While a graph is traced, constants are symbolic and must not be kept.
    scaled = _scaled.__wrapped__ if torch.compiler.is_compiling() else _scaled
    scaled_mean, scaled_std = (scaled(tuple(values), max_value, images.device) for values in (mean, std))
    return (images.float() - scaled_mean) / scaled_std


@lru_cache(maxsize=32)
def _scaled(values: tuple[float, ...], max_value: float, device: torch.device) -> Tensor:
    # Kept, since every copy to a GPU waits; not in inference mode, since what is kept must do for training too.
    with torch.inference_mode(False):
        return torch.tensor(values, device=device).mul(max_value).view(3, 1, 1)
