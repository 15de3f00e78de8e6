"""The twenty things as drawn sprites of two inks, each sample with its own small deformation."""

import cv2
import numpy as np

from densevlm_mm.tiny_scenes.classes import THING_NAMES

CANVAS = 96  # pixels; sprites are drawn large and shrunk, which gives smooth edges

Point = tuple[float, float]


def _poly(ink: int, *points: Point) -> tuple[str, int, tuple[float, ...]]:
    return "poly", ink, tuple(value for point in points for value in point)


def _rect(ink: int, x0: float, y0: float, x1: float, y1: float) -> tuple[str, int, tuple[float, ...]]:
    return _poly(ink, (x0, y0), (x1, y0), (x1, y1), (x0, y1))


def _oval(ink: int, x: float, y: float, rx: float, ry: float) -> tuple[str, int, tuple[float, ...]]:
    return "oval", ink, (x, y, rx, ry)


def _ring(ink: int, x: float, y: float, r: float, width: float) -> tuple[str, int, tuple[float, ...]]:
    return "ring", ink, (x, y, r, width)


def _line(ink: int, x0: float, y0: float, x1: float, y1: float, width: float) -> tuple[str, int, tuple[float, ...]]:
    return "line", ink, (x0, y0, x1, y1, width)


Shape = tuple[str, int, tuple[float, ...]]

# Painted in order in the unit square, x to the right and y down; ink 1 and ink 2 are the sprite's two colours.
_SHAPES: dict[str, tuple[Shape, ...]] = {
    "boat": (
        _poly(1, (0.04, 0.62), (0.96, 0.62), (0.8, 0.9), (0.2, 0.9)),
        _line(1, 0.5, 0.06, 0.5, 0.65, 0.05),
        _poly(2, (0.55, 0.08), (0.55, 0.56), (0.9, 0.56)),
        _poly(2, (0.45, 0.16), (0.45, 0.56), (0.14, 0.56)),
    ),
    "surfboard": (_oval(1, 0.5, 0.5, 0.2, 0.47), _line(2, 0.5, 0.12, 0.5, 0.88, 0.07)),
    "kite": (
        _poly(1, (0.5, 0.03), (0.86, 0.36), (0.5, 0.78), (0.14, 0.36)),
        _poly(2, (0.5, 0.03), (0.86, 0.36), (0.5, 0.36)),
        _poly(2, (0.5, 0.78), (0.14, 0.36), (0.5, 0.36)),
        _line(2, 0.5, 0.78, 0.66, 0.97, 0.06),
    ),
    "plane": (
        _poly(2, (0.38, 0.48), (0.64, 0.48), (0.42, 0.06), (0.28, 0.06)),
        _poly(2, (0.38, 0.52), (0.64, 0.52), (0.42, 0.94), (0.28, 0.94)),
        _poly(2, (0.02, 0.28), (0.14, 0.28), (0.22, 0.5), (0.06, 0.5)),
        _oval(1, 0.52, 0.5, 0.46, 0.11),
    ),
    "car": (
        _poly(1, (0.2, 0.5), (0.34, 0.26), (0.68, 0.26), (0.82, 0.5)),
        _rect(1, 0.02, 0.48, 0.98, 0.74),
        _poly(2, (0.3, 0.46), (0.38, 0.32), (0.64, 0.32), (0.72, 0.46)),
        _oval(2, 0.24, 0.76, 0.12, 0.12),
        _oval(2, 0.76, 0.76, 0.12, 0.12),
    ),
    "bus": (
        _rect(1, 0.03, 0.14, 0.97, 0.8),
        _rect(2, 0.1, 0.24, 0.32, 0.46),
        _rect(2, 0.39, 0.24, 0.61, 0.46),
        _rect(2, 0.68, 0.24, 0.9, 0.46),
        _oval(2, 0.26, 0.82, 0.1, 0.1),
        _oval(2, 0.74, 0.82, 0.1, 0.1),
    ),
    "sheep": (
        _rect(2, 0.26, 0.6, 0.34, 0.94),
        _rect(2, 0.58, 0.6, 0.66, 0.94),
        _oval(1, 0.46, 0.48, 0.36, 0.24),
        _oval(1, 0.3, 0.34, 0.17, 0.15),
        _oval(1, 0.56, 0.32, 0.17, 0.15),
        _oval(2, 0.84, 0.4, 0.13, 0.16),
    ),
    "cow": (
        _rect(1, 0.12, 0.28, 0.78, 0.62),
        _rect(1, 0.16, 0.6, 0.27, 0.94),
        _rect(1, 0.63, 0.6, 0.74, 0.94),
        _poly(1, (0.74, 0.16), (0.98, 0.22), (0.96, 0.46), (0.76, 0.46)),
        _oval(2, 0.3, 0.42, 0.13, 0.12),
        _oval(2, 0.58, 0.4, 0.1, 0.11),
        _poly(2, (0.74, 0.18), (0.78, 0.02), (0.84, 0.18)),
    ),
    "skis": (
        _line(1, 0.24, 0.04, 0.36, 0.96, 0.11),
        _line(1, 0.64, 0.04, 0.76, 0.96, 0.11),
        _rect(2, 0.2, 0.46, 0.4, 0.62),
        _rect(2, 0.6, 0.46, 0.8, 0.62),
    ),
    "snowboard": (
        _line(1, 0.14, 0.72, 0.86, 0.28, 0.26),
        _oval(2, 0.34, 0.6, 0.1, 0.1),
        _oval(2, 0.66, 0.4, 0.1, 0.1),
    ),
    "umbrella": (
        _line(2, 0.5, 0.4, 0.5, 0.97, 0.06),
        _poly(1, (0.02, 0.52), (0.1, 0.28), (0.3, 0.1), (0.5, 0.04), (0.7, 0.1), (0.9, 0.28), (0.98, 0.52)),
        _poly(2, (0.32, 0.52), (0.5, 0.04), (0.68, 0.52)),
    ),
    "ball": (
        _oval(1, 0.5, 0.5, 0.46, 0.46),
        _poly(2, (0.5, 0.3), (0.7, 0.46), (0.62, 0.68), (0.38, 0.68), (0.3, 0.46)),
        _line(2, 0.5, 0.06, 0.5, 0.3, 0.07),
        _line(2, 0.1, 0.4, 0.32, 0.46, 0.07),
        _line(2, 0.9, 0.4, 0.68, 0.46, 0.07),
    ),
    "clock": (
        _oval(1, 0.5, 0.5, 0.47, 0.47),
        _oval(2, 0.5, 0.5, 0.36, 0.36),
        _line(1, 0.5, 0.5, 0.5, 0.2, 0.07),
        _line(1, 0.5, 0.5, 0.7, 0.58, 0.07),
    ),
    "picture": (
        _rect(1, 0.04, 0.12, 0.96, 0.88),
        _rect(2, 0.16, 0.24, 0.84, 0.76),
        _poly(1, (0.22, 0.76), (0.44, 0.4), (0.56, 0.58), (0.64, 0.5), (0.78, 0.76)),
    ),
    "chair": (
        _rect(1, 0.16, 0.04, 0.28, 0.96),
        _rect(1, 0.7, 0.52, 0.82, 0.96),
        _rect(2, 0.16, 0.5, 0.84, 0.64),
        _rect(2, 0.16, 0.08, 0.36, 0.44),
    ),
    "lamp": (
        _line(2, 0.5, 0.4, 0.5, 0.9, 0.07),
        _rect(2, 0.28, 0.86, 0.72, 0.96),
        _poly(1, (0.32, 0.04), (0.68, 0.04), (0.88, 0.46), (0.12, 0.46)),
    ),
    "bear": (
        _oval(1, 0.5, 0.68, 0.36, 0.28),
        _oval(1, 0.5, 0.32, 0.25, 0.23),
        _oval(1, 0.26, 0.14, 0.11, 0.11),
        _oval(1, 0.74, 0.14, 0.11, 0.11),
        _oval(2, 0.5, 0.4, 0.12, 0.09),
        _oval(2, 0.5, 0.72, 0.2, 0.17),
    ),
    "tent": (
        _poly(1, (0.5, 0.08), (0.98, 0.9), (0.02, 0.9)),
        _poly(2, (0.5, 0.4), (0.68, 0.9), (0.32, 0.9)),
    ),
    "bike": (
        _ring(1, 0.24, 0.68, 0.2, 0.07),
        _ring(1, 0.76, 0.68, 0.2, 0.07),
        _line(2, 0.24, 0.68, 0.42, 0.34, 0.07),
        _line(2, 0.42, 0.34, 0.7, 0.34, 0.07),
        _line(2, 0.24, 0.68, 0.52, 0.66, 0.07),
        _line(2, 0.52, 0.66, 0.7, 0.34, 0.07),
        _line(2, 0.76, 0.68, 0.66, 0.2, 0.07),
    ),
    "cup": (
        _ring(1, 0.76, 0.48, 0.17, 0.08),
        _poly(1, (0.1, 0.16), (0.74, 0.16), (0.66, 0.88), (0.18, 0.88)),
        _rect(2, 0.13, 0.4, 0.71, 0.58),
    ),
}


def _paint(canvas: np.ndarray, shape: Shape, jitter: np.ndarray) -> None:
    """Paint one shape of ink labels; ``jitter`` moves it by a few hundredths of the canvas."""
    kind, ink, values = shape
    scaled = np.asarray(values, dtype=np.float64) * (CANVAS - 1)
    shift = jitter * CANVAS
    if kind == "poly":
        points = scaled.reshape(-1, 2) + shift
        cv2.fillPoly(canvas, [points.round().astype(np.int32)], color=ink)
    elif kind == "oval":
        centre, radii = (scaled[:2] + shift).round().astype(int), scaled[2:].round().astype(int)
        cv2.ellipse(canvas, (int(centre[0]), int(centre[1])), (int(radii[0]), int(radii[1])), 0, 0, 360, ink, -1)
    elif kind == "ring":
        centre, width = (scaled[:2] + shift).round().astype(int), max(1, round(scaled[3]))
        cv2.circle(canvas, (int(centre[0]), int(centre[1])), round(scaled[2]), ink, width)
    else:
        start, end = (scaled[:2] + shift).round().astype(int), (scaled[2:4] + shift).round().astype(int)
        cv2.line(canvas, (int(start[0]), int(start[1])), (int(end[0]), int(end[1])), ink, max(1, round(scaled[4])))


def draw_sprite(name: str, rng: np.random.Generator) -> np.ndarray:
    """Draw one thing, slightly turned, sheared, stretched and perhaps mirrored, cropped to what it covers.

    Args:
        name: A thing class.
        rng: Source of randomness.

    Returns:
        float32 (h, w, 2): how much of each pixel either ink covers, in [0, 1], h and w at most about 1.5 `CANVAS`.

    Raises:
        KeyError: If ``name`` is no thing class.
    """
    if name not in _SHAPES:
        raise KeyError(f"TinyScenes has no thing class {name!r}; choose one of {', '.join(THING_NAMES)}")
    canvas = np.zeros((CANVAS, CANVAS), dtype=np.uint8)
    for shape in _SHAPES[name]:
        _paint(canvas, shape, rng.normal(0, 0.012, 2))
    angle, stretch, shear = np.deg2rad(rng.normal(0, 9)), np.exp(rng.normal(0, 0.1)), rng.normal(0, 0.08)
    mirror = -1.0 if rng.random() < 0.5 else 1.0
    rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    matrix = rotation @ np.array([[mirror * stretch, shear], [0.0, 1 / stretch]])
    side = int(1.5 * CANVAS)
    offset = side / 2 - matrix @ np.full(2, CANVAS / 2)
    affine = np.concatenate([matrix, offset[:, None]], axis=1)
    inks = np.stack([canvas == 1, canvas == 2], axis=-1).astype(np.float32)
    warped = cv2.warpAffine(inks, affine, (side, side), flags=cv2.INTER_LINEAR)
    covered = warped.sum(-1) > 0.25
    rows, columns = np.flatnonzero(covered.any(1)), np.flatnonzero(covered.any(0))
    return np.ascontiguousarray(warped[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1])


def build_sprite_bank(rng: np.random.Generator, sprites_per_class: int) -> dict[str, list[np.ndarray]]:
    """Sprites of every thing class: name -> list of float32 (h, w, 2) ink maps."""
    return {name: [draw_sprite(name, rng) for _ in range(sprites_per_class)] for name in THING_NAMES}
