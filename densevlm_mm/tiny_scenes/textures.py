"""The twelve stuff textures: grey maps in [0, 1] that a palette turns into colours."""

from collections.abc import Callable

import cv2
import numpy as np

from densevlm_mm.tiny_scenes.classes import STUFF_NAMES

Rng = np.random.Generator


def _normalised(texture: np.ndarray) -> np.ndarray:
    low, high = np.percentile(texture, (1, 99))
    return np.clip((texture - low) / max(float(high - low), 1e-6), 0, 1).astype(np.float32)


def _noise(rng: Rng, size: int, sigma_x: float, sigma_y: float) -> np.ndarray:
    """White noise blurred by a Gaussian of the given standard deviations in pixels, scaled to [0, 1]."""
    margin = int(4 * max(sigma_x, sigma_y)) + 1  # cut off, so that the blur's border handling is never seen
    white = rng.standard_normal((size + 2 * margin, size + 2 * margin), dtype=np.float32)
    blurred = cv2.GaussianBlur(white, (0, 0), sigmaX=max(sigma_x, 0.2), sigmaY=max(sigma_y, 0.2))
    return _normalised(blurred[margin:-margin, margin:-margin])


def _grid(size: int) -> tuple[np.ndarray, np.ndarray]:
    y, x = np.mgrid[0:size, 0:size].astype(np.float32)
    return x, y


def _sky(rng: Rng, size: int) -> np.ndarray:
    return 0.75 * _noise(rng, size, 9, 5) + 0.25 * _noise(rng, size, 4, 3)


def _sea(rng: Rng, size: int) -> np.ndarray:
    return 0.7 * _noise(rng, size, 4.5, 0.9) + 0.3 * _noise(rng, size, 8, 3)


def _grass(rng: Rng, size: int) -> np.ndarray:
    return 0.75 * _noise(rng, size, 0.6, 2.4) + 0.25 * _noise(rng, size, 6, 6)


def _sand(rng: Rng, size: int) -> np.ndarray:
    return 0.65 * _noise(rng, size, 0.5, 0.5) + 0.35 * _noise(rng, size, 10, 10)


def _snow(rng: Rng, size: int) -> np.ndarray:
    sparkle = (rng.random((size, size)) < 0.03).astype(np.float32)
    return 0.75 * _noise(rng, size, 4, 4) + 0.25 + 0.6 * cv2.GaussianBlur(sparkle, (0, 0), 0.6)


def _road(rng: Rng, size: int) -> np.ndarray:
    x, y = _grid(size)
    period, dash, phase = rng.uniform(18, 26), rng.uniform(10, 16), rng.uniform(0, 100, 2)
    lane = (((y + phase[0]) % period) < 2.2) & (((x + phase[1]) % dash) < 0.6 * dash)
    return 0.55 * _noise(rng, size, 0.9, 0.9) + 0.45 * lane


def _bricks(rng: Rng, size: int) -> np.ndarray:
    x, y = _grid(size)
    height, width, phase = rng.uniform(5, 7.5), rng.uniform(10, 15), rng.uniform(0, 100, 2)
    row = np.floor((y + phase[0]) / height)
    shifted = x + phase[1] + (row % 2) * width / 2
    mortar = (((y + phase[0]) % height) < 1.3) | ((shifted % width) < 1.3)
    tone = rng.random(1024)[((row * 31 + np.floor(shifted / width) * 7) % 1024).astype(int)]
    return np.where(mortar, 1.0, 0.1 + 0.5 * tone) + 0.1 * _noise(rng, size, 0.6, 0.6)


def _floor(rng: Rng, size: int) -> np.ndarray:
    x, y = _grid(size)
    height, width, phase = rng.uniform(6, 9), rng.uniform(30, 44), rng.uniform(0, 100, 2)
    row = np.floor((y + phase[0]) / height)
    shifted = x + phase[1] + ((row * 17) % 40)
    seam = (((y + phase[0]) % height) < 1.1) | ((shifted % width) < 1.1)
    tone = rng.random(1024)[((row * 13 + np.floor(shifted / width) * 5) % 1024).astype(int)]
    return np.where(seam, 0.0, 0.35 + 0.45 * tone) + 0.25 * _noise(rng, size, 6, 0.7)


def _forest(rng: Rng, size: int) -> np.ndarray:
    crowns = _noise(rng, size, 2.6, 2.6)
    return 1 / (1 + np.exp(-14 * (crowns - 0.5))) * 0.75 + 0.25 * _noise(rng, size, 0.8, 0.8)


def _rock(rng: Rng, size: int) -> np.ndarray:
    ridges = np.abs(_noise(rng, size, 3.2, 2.6) - 0.5) * 2
    cracks = np.clip(ridges * 4, 0, 1)
    return 0.55 * cracks + 0.45 * _noise(rng, size, 3, 3)


def _carpet(rng: Rng, size: int) -> np.ndarray:
    x, y = _grid(size)
    period, angle = rng.uniform(5, 7.5), rng.uniform(0.6, 1.0)
    u, v = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    phase = rng.uniform(0, 6, 2)
    dots = np.cos(2 * np.pi * u / period + phase[0]) * np.cos(2 * np.pi * v / period + phase[1])
    return 0.7 * (dots > 0.1) + 0.3 * _noise(rng, size, 0.8, 0.8)


def _curtain(rng: Rng, size: int) -> np.ndarray:
    x, _ = _grid(size)
    period = rng.uniform(6, 11)
    sway = 2.5 * _noise(rng, size, 3, 14)
    return 0.5 + 0.5 * np.sin(2 * np.pi * (x / period + sway * 0.6)) + 0.15 * _noise(rng, size, 1, 3)


_TEXTURES: dict[str, Callable[[Rng, int], np.ndarray]] = {
    "sky": _sky,
    "sea": _sea,
    "grass": _grass,
    "sand": _sand,
    "snow": _snow,
    "road": _road,
    "bricks": _bricks,
    "floor": _floor,
    "forest": _forest,
    "rock": _rock,
    "carpet": _carpet,
    "curtain": _curtain,
}


def stuff_texture(name: str, rng: Rng, size: int) -> np.ndarray:
    """One texture tile.

    Args:
        name: A stuff class.
        rng: Source of randomness.
        size: Side of the square tile in pixels.

    Returns:
        float32 (size, size) in [0, 1].

    Raises:
        KeyError: If ``name`` is no stuff class.
    """
    if name not in _TEXTURES:
        raise KeyError(f"TinyScenes has no stuff class {name!r}; choose one of {', '.join(STUFF_NAMES)}")
    return _normalised(_TEXTURES[name](rng, size))


def build_texture_bank(rng: Rng, size: int, tiles_per_class: int) -> dict[str, np.ndarray]:
    """Tiles of every stuff class: name -> float32 (tiles_per_class, size, size)."""
    return {name: np.stack([stuff_texture(name, rng, size) for _ in range(tiles_per_class)]) for name in STUFF_NAMES}
