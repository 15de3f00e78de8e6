"""Colours that are told apart by readers with and without colour blindness."""

from collections.abc import Sequence
from functools import cache

import cv2
import numpy as np

# Okabe and Ito's palette without black, which reads as a shadow in a photograph.
_FIRST = ((0, 114, 178), (230, 159, 0), (0, 158, 115), (213, 94, 0), (86, 180, 233), (204, 121, 167), (240, 228, 66))

# Machado, Oliveira, Fernandes (2009), severity 1, on linear RGB: protanopia and deuteranopia.
_COLOUR_BLINDNESS = np.array(
    [
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    ]
)


@cache
def distinct_colours(count: int) -> np.ndarray:
    """Colours each as far as possible from the ones before it.

    Distance is CIELAB's, the smallest of normal sight, protanopia and deuteranopia. The first ``n`` colours are the
    same whatever ``count``.

    Args:
        count: How many; they repeat when there are no more, after several hundred.

    Returns:
        RGB (count, 3) uint8, not to be written to.
    """
    steps = np.arange(10, 256, 24)
    grid = np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), axis=-1).reshape(-1, 3)
    sight = _as_seen(grid)[0]
    # Too dark or too light ones vanish in shadows and highlights, greyish ones look like no overlay at all.
    usable = (sight[:, 0] > 25) & (sight[:, 0] < 92) & (np.hypot(sight[:, 1], sight[:, 2]) > 30)
    candidates = np.concatenate([np.array(_FIRST), grid[usable]]).astype(np.uint8)
    sights = _as_seen(candidates)
    chosen: list[int] = []
    nearest = np.full(len(candidates), np.inf)
    for rank in range(min(count, len(candidates))):
        chosen.append(rank if rank < len(_FIRST) else int(nearest.argmax()))
        nearest = np.minimum(nearest, _distances(sights, chosen[-1]))
        nearest[chosen[-1]] = -1
    colours = candidates[np.resize(chosen, count)] if count else np.zeros((0, 3), np.uint8)
    colours.setflags(write=False)
    return colours


def _as_seen(colours: np.ndarray) -> np.ndarray:
    """CIELAB coordinates (3, N, 3) of RGB colours (N, 3) as seen by normal, protanope and deuteranope readers."""
    encoded = colours.astype(np.float64) / 255
    linear = np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)
    seen = np.stack([linear, *(linear @ matrix.T for matrix in _COLOUR_BLINDNESS)]).clip(0, 1)
    return cv2.cvtColor(seen.astype(np.float32), cv2.COLOR_LRGB2LAB)


def _distances(sights: np.ndarray, index: int) -> np.ndarray:
    return np.linalg.norm(sights - sights[:, index : index + 1], axis=-1).min(axis=0)


def assign_colours(preferences: list[int], pool: int = 24) -> np.ndarray:
    """Colours of the classes in a picture: each its own, and mostly the same one in every picture.

    Args:
        preferences: Number of each class, the most important first; class ``n`` prefers colour ``n % pool``, and takes
            the next free one if a class before it has that.
        pool: How many colours there are to prefer; if the picture has more classes, there are more to take.

    Returns:
        RGB (len(preferences), 3) uint8.
    """
    total = max(pool, len(preferences))
    free = [True] * total
    chosen = []
    for number in preferences:
        start = number % pool
        index = next(i % total for i in range(start, start + total) if free[i % total])
        free[index] = False
        chosen.append(index)
    return distinct_colours(total)[chosen]


def text_colour(background: Sequence[float]) -> str:
    """Black or white, whichever reads better on a colour (relative luminance of WCAG 2).

    Args:
        background: RGB, 0 to 255.
    """
    rgb = np.asarray(background, dtype=float) / 255
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    return "black" if linear @ (0.2126, 0.7152, 0.0722) > 0.179 else "white"
