"""Scores of classes as maps: their size, and the best class of every pixel."""

from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Tensor

CLASSES_AT_ONCE = 64  # of the scores that are averaged and enlarged to the original size


def resize_maps(maps: Tensor, size: tuple[int, int]) -> Tensor:
    """Bring maps (B, C, h, w) to another size, bilinearly."""
    if tuple(maps.shape[-2:]) == tuple(size):
        return maps
    return F.interpolate(maps, size=size, mode="bilinear", align_corners=False)


def choose_classes(
    chunks: Iterable[Tensor], size: tuple[int, int], keep_scores: bool
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Enlarge the scores of an image and take the best class of every pixel, a few classes at a time.

    Args:
        chunks: Scores (C, h, w) of some classes after the other, all above -1.
        size: Height and width of the image, (H, W).
        keep_scores: Whether to return the enlarged scores too; 847 classes of a photograph take gigabytes.

    Returns:
        Labels (1, H, W) int64, their scores (1, H, W), and the enlarged scores (T, H, W) of all T classes or None.
    """
    best, labels, start = torch.full((1, *size), -1.0), torch.zeros((1, *size), dtype=torch.long), 0
    kept = []
    for scores_CHW in chunks:
        enlarged = resize_maps(scores_CHW[None], size)[0]
        best, labels = best.to(enlarged), labels.to(enlarged.device)
        values, indices = enlarged.max(dim=0, keepdim=True)
        labels = torch.where(values > best, indices + start, labels)
        best = torch.maximum(values, best)
        start += len(enlarged)
        if keep_scores:
            kept.append(enlarged)
    return labels, best, torch.cat(kept) if keep_scores else None
