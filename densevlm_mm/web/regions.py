"""A point or box that a visitor clicks or types: `Region`."""

import re
from dataclasses import dataclass
from typing import Any

import numpy as np

_NUMBER = re.compile(r"[-+]?\d+(?:\.\d+)?")


@dataclass(frozen=True)
class Region:
    """A point x, y or a box x1, y1, x2, y2.

    Args:
        values: Two or four numbers, pixels of the photograph as the page shows it.
    """

    values: tuple[float, ...]

    @property
    def is_point(self) -> bool:
        """Whether it is a point."""
        return len(self.values) == 2

    def arguments(self) -> dict[str, Any]:
        """What :meth:`OpenVocabularyInferencer.classify` takes."""
        return {"points" if self.is_point else "boxes": np.array([self.values], dtype=np.float32)}

    def __str__(self) -> str:
        return ", ".join(f"{value:g}" for value in self.values)


def read_region(text: str, size: tuple[int, int]) -> Region:
    """Read a point or box; corners may come in any order.

    Args:
        text: ``x, y`` or ``x1, y1, x2, y2``.
        size: Width and height of the photograph.

    Raises:
        ValueError: If it is neither, lies outside of the photograph, or is smaller than a pixel.
    """
    parts = [part for part in re.split(r"[,;\s]+", (text or "").strip()) if part]
    if len(parts) not in (2, 4) or not all(_NUMBER.fullmatch(part) for part in parts):
        raise ValueError(
            f"A point is two numbers, such as 120, 80; a box is four, such as 20, 30, 200, 160; not “{text[:40]}”."
        )
    values = [float(part) for part in parts]
    limits = [*size, *size]
    if any(not 0 <= value <= limit for value, limit in zip(values, limits, strict=False)):
        raise ValueError(f"{text} lies outside of the photograph, which is {size[0]} pixels wide and {size[1]} high.")
    if len(values) == 4:
        values = [*np.minimum(values[:2], values[2:]), *np.maximum(values[:2], values[2:])]
        if values[2] - values[0] < 1 or values[3] - values[1] < 1:
            raise ValueError("The box is smaller than a pixel: its corners are opposite ones.")
    return Region(tuple(float(value) for value in values))
