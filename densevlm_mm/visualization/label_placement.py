"""Where labels stand on a picture: near what they name, inside the picture, none over another."""

from collections.abc import Iterator, Sequence

import numpy as np

Rectangle = tuple[float, float, float, float]  # left, top, right, bottom


def place_labels(
    sizes: Sequence[tuple[float, float]],
    anchors: Sequence[Rectangle],
    picture: tuple[float, float],
    taken: Sequence[Rectangle] = (),
) -> list[Rectangle | None]:
    """Place labels one after the other, each at the first free place of those that suit it.

    Tried are the places above, within and below the anchor, at its left and right end, then steps along its sides and
    through it, then a ring around it.

    Args:
        sizes: Width and height of N labels, the most important first.
        anchors: N boxes that they belong to; of a point or the inside of a mask without extent.
        picture: Width and height.
        taken: Where no label may be.

    Returns:
        N rectangles inside the picture that do not overlap; None for a label without a free place near its anchor.
    """
    occupied = [*taken]
    places: list[Rectangle | None] = []
    for (width, height), anchor in zip(sizes, anchors, strict=True):
        place = None
        if width <= picture[0] and height <= picture[1]:
            blocked = np.array(occupied, dtype=float).reshape(-1, 4)
            corners = np.array(list(_corners(width, height, anchor)))
            # Moved inside first and tried then: a place at the border is better than none.
            corners = corners.clip(0, (picture[0] - width, picture[1] - height))
            free = _are_free(np.hstack([corners, corners + np.array((width, height))]), blocked)
            if free.any():
                left, top = corners[int(free.argmax())].tolist()
                place = (left, top, left + width, top + height)
                occupied.append(place)
        places.append(place)
    return places


def _corners(width: float, height: float, anchor: Rectangle) -> Iterator[tuple[float, float]]:
    """Top left corners to be tried, the best first."""
    left, top, right, bottom = anchor
    if right - left < 1 and bottom - top < 1:  # a point: over it, then around it
        yield left - width / 2, top - height / 2
    else:
        for y in (top - height, top, bottom, bottom - height):
            yield left, y
            yield right - width, y
        for y in np.arange(top - height, bottom + 1, height):
            for x in np.arange(left, max(right - width, left) + 1, max(width / 2, 1)):
                yield x, y
    centre = ((left + right - width) / 2, (top + bottom - height) / 2)
    half = ((right - left) / 2, (bottom - top) / 2)
    for ring in range(1, 5):
        for angle in np.linspace(0, 2 * np.pi, 8 * ring, endpoint=False) - np.pi / 2:
            reach = (half[0] + ring * width / 2, half[1] + ring * height)
            yield centre[0] + np.cos(angle) * reach[0], centre[1] + np.sin(angle) * reach[1]


def _are_free(places: np.ndarray, blocked: np.ndarray) -> np.ndarray:
    """Which of N places (N, 4) overlap none of M (M, 4)."""
    apart: np.ndarray = (
        (places[:, None, 0] >= blocked[:, 2])
        | (places[:, None, 2] <= blocked[:, 0])
        | (places[:, None, 1] >= blocked[:, 3])
        | (places[:, None, 3] <= blocked[:, 1])
    )
    return np.all(apart, axis=1)
