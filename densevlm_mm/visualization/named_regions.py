"""The one way that named boxes, masks and points are drawn on a photograph."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from PIL import Image, ImageDraw

from densevlm_mm.visualization.distinct_colours import text_colour
from densevlm_mm.visualization.fonts import draw_text, text_width
from densevlm_mm.visualization.label_placement import Rectangle, place_labels

MAX_LABELS = 40
_MORE_COLOUR = (60, 60, 60)


@dataclass(frozen=True)
class NamedRegion:
    """Something on a picture and what stands at it.

    Args:
        text: Its label; what `densevlm_mm.visualization.fonts.drawable` makes of a name.
        colour: RGB, 0 to 255.
        box: x1, y1, x2, y2 in pixels of the image, or None.
        mask: (H, W) bool, or None.
        point: x, y, or None.
    """

    text: str
    colour: tuple[int, int, int]
    box: Sequence[float] | None = None
    mask: np.ndarray | None = None
    point: Sequence[float] | None = None


def picture_scale(shape: Sequence[int]) -> float:
    """How much larger than at 640 pixels lines and letters are: a picture is seen at the size of the screen."""
    return max(max(shape[:2]) / 640, 1.0) ** 0.8


def draw_named_regions(
    image: np.ndarray,
    regions: Sequence[NamedRegion],
    max_labels: int = MAX_LABELS,
    min_size: int = 640,
    alpha: float = 0.35,
) -> np.ndarray:
    """Draw boxes, masks and points with their names, which overlap nowhere and lie inside the picture.

    Names that find no place, and those beyond ``max_labels``, are counted in the corner: ``+12 more``. What they belong
    to is drawn all the same.

    Args:
        image: RGB (H, W, 3) uint8.
        regions: The most important first.
        max_labels: Most names on the picture.
        min_size: A smaller image is enlarged, by a whole factor, to about this longer side; 0 enlarges none.
        alpha: Opacity of masks, 0 to 1.

    Returns:
        RGB picture, uint8.
    """
    zoom = max(1, round(min_size / max(image.shape[:2])))
    height, width = (side * zoom for side in image.shape[:2])
    canvas = image if zoom == 1 else cv2.resize(image, (width, height), interpolation=cv2.INTER_CUBIC)
    scale = picture_scale((height, width))
    line = max(round(2 * scale), 1)
    canvas, inside = _draw_masks(canvas, regions, alpha, line)
    picture = Image.fromarray(canvas)
    draw = ImageDraw.Draw(picture)
    anchors: list[Rectangle] = []
    for region, centre in reversed(list(zip(regions, inside, strict=True))):  # the most important on top
        anchors.append(_draw_outline(draw, region, centre, zoom, line))
    _write_labels(draw, regions, anchors[::-1], max_labels, (width, height), round(12 * scale))
    return np.asarray(picture)


def _draw_masks(
    canvas: np.ndarray, regions: Sequence[NamedRegion], alpha: float, line: int
) -> tuple[np.ndarray, list[tuple[float, float] | None]]:
    """Tint and outline the masks; return the picture, and the innermost point of every mask."""
    canvas = canvas.copy()
    inside: list[tuple[float, float] | None] = [None] * len(regions)
    for index in reversed(range(len(regions))):
        region = regions[index]
        if region.mask is None or not region.mask.any():
            continue
        full = cv2.resize(region.mask.astype(np.uint8), canvas.shape[1::-1], interpolation=cv2.INTER_NEAREST)
        here = full.astype(bool)
        canvas[here] = (canvas[here] * (1 - alpha) + np.array(region.colour) * alpha).round().astype(np.uint8)
        contours = cv2.findContours(full, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)[0]
        cv2.drawContours(canvas, contours, -1, region.colour, line, cv2.LINE_AA)
        depth = cv2.distanceTransform(np.pad(full, 1), cv2.DIST_L2, 3)[1:-1, 1:-1]
        y, x = np.unravel_index(int(depth.argmax()), depth.shape)
        inside[index] = (float(x), float(y))
    return canvas, inside


def _draw_outline(
    draw: ImageDraw.ImageDraw, region: NamedRegion, centre: tuple[float, float] | None, zoom: int, line: int
) -> Rectangle:
    """Draw a box or point; return what the label is placed at."""
    if region.box is not None:
        left, top, right, bottom = (value * zoom for value in region.box)
        right, bottom = max(left, right), max(top, bottom)
        draw.rectangle((left, top, right, bottom), outline=region.colour, width=line)
        return (left, top, right, bottom)
    if region.point is not None:
        x, y = (value * zoom for value in region.point)
        radius = 3 * line
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=region.colour, outline="white", width=line)
        return (x - radius, y - radius, x + radius, y + radius)
    x, y = centre or (0.0, 0.0)
    return (x, y, x, y)


def _write_labels(
    draw: ImageDraw.ImageDraw,
    regions: Sequence[NamedRegion],
    anchors: Sequence[Rectangle],
    max_labels: int,
    picture: tuple[int, int],
    font: int,
) -> None:
    pad = max(font // 4, 2)
    line_height = round(1.2 * font) + pad

    def size(text: str) -> tuple[float, float]:
        return text_width(text, font) + 2 * pad, line_height

    sizes = [size(region.text) for region in regions[:max_labels]]
    corner: list[Rectangle] = []
    places = place_labels(sizes, anchors[:max_labels], picture)
    if None in places or len(regions) > max_labels:
        width, height = size(f"+{len(regions)} more")
        corner = [(picture[0] - width, picture[1] - height, picture[0], picture[1])]
        places = place_labels(sizes, anchors[:max_labels], picture, corner)
    for region, place in zip(regions, places, strict=False):
        if place is not None:
            draw.rectangle(place, fill=region.colour)
            draw_text(draw, (place[0] + pad, place[1] + pad / 2), region.text, font, text_colour(region.colour))
    hidden = len(regions) - sum(place is not None for place in places)
    if hidden and corner:
        draw.rectangle(corner[0], fill=_MORE_COLOUR)
        draw_text(draw, (corner[0][0] + pad, corner[0][1] + pad / 2), f"+{hidden} more", font, "white")
