"""Scores of classes as maps: their size, and the best class of every pixel."""

import torch
import torch.nn.functional as F
from torch import Tensor

_CLASSES_AT_ONCE = 64  # of the scores that are enlarged to the original size


def resize_maps(maps: Tensor, size: tuple[int, int]) -> Tensor:
    """Bring maps (B, C, h, w) to another size, bilinearly."""
    if tuple(maps.shape[-2:]) == tuple(size):
        return maps
    return F.interpolate(maps, size=size, mode="bilinear", align_corners=False)


def choose_classes(
    scores_THW: Tensor, size: tuple[int, int], keep_scores: bool
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Enlarge the scores of an image and take the best class of every pixel, a few classes at a time.

    Args:
        scores_THW: Scores of T classes, all above -1.
        size: Height and width of the image, (H, W).
        keep_scores: Whether to return the enlarged scores too; 847 classes of a photograph take gigabytes.

    Returns:
        Labels (1, H, W) int64, their scores (1, H, W), and the enlarged scores (T, H, W) or None.
    """
    best = scores_THW.new_full((1, *size), -1.0)
    labels = torch.zeros_like(best, dtype=torch.long)
    kept = []
    for start in range(0, len(scores_THW), _CLASSES_AT_ONCE):
        chunk = resize_maps(scores_THW[None, start : start + _CLASSES_AT_ONCE], size)[0]
        values, indices = chunk.max(dim=0, keepdim=True)
        labels = torch.where(values > best, indices + start, labels)
        best = torch.maximum(values, best)
        if keep_scores:
            kept.append(chunk)
    return labels, best, torch.cat(kept) if keep_scores else None
