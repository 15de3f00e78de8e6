"""Heat maps over the photograph that they belong to."""

from collections.abc import Sequence

import cv2
import matplotlib
import numpy as np
from PIL import Image, ImageDraw

from densevlm_mm.visualization.fonts import draw_text, drawable, text_width
from densevlm_mm.visualization.named_regions import picture_scale

HEAT = "viridis"  # perceptually uniform, and monotonic in grey
_GAP = 6


def overlay_heat(image: np.ndarray, values: np.ndarray, low: float, high: float, alpha: float = 0.6) -> np.ndarray:
    """Lay a heat map over a photograph, which is grey below it, so that the colours are the map's.

    Args:
        image: RGB (H, W, 3) uint8.
        values: (H, W).
        low: Value of the darkest colour.
        high: Value of the lightest colour.
        alpha: Opacity of the map, 0 to 1.

    Returns:
        RGB (H, W, 3) uint8.
    """
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[..., None].astype(np.float32)
    scaled = ((values - low) / max(high - low, 1e-6)).clip(0, 1)
    colours = matplotlib.colormaps[HEAT](scaled)[..., :3] * 255
    return (grey * (1 - alpha) + colours * alpha).round().astype(np.uint8)


def draw_heat_maps(image: np.ndarray, texts: Sequence[str], maps: np.ndarray, min_size: int = 480) -> np.ndarray:
    """Draw the photograph and, beside it, a heat map over it for each text, with the lowest and highest value.

    Args:
        image: RGB (H, W, 3) uint8.
        texts: T texts.
        maps: (T, H, W).
        min_size: A smaller photograph is enlarged to this longer side, in pixels.

    Returns:
        RGB picture, uint8.
    """
    zoom = max(1.0, min_size / max(image.shape[:2]))
    size = tuple(max(round(side * zoom), 1) for side in image.shape[1::-1])
    canvas = cv2.resize(image, size, interpolation=cv2.INTER_CUBIC)
    font = round(14 * picture_scale(canvas.shape))
    tiles = [_titled(canvas, "image", "", font)]
    for text, values in zip(texts, maps, strict=True):
        low, high = float(values.min()), float(values.max())
        large = cv2.resize(values.astype(np.float32), size, interpolation=cv2.INTER_LINEAR)
        tiles.append(_titled(overlay_heat(canvas, large, low, high), text, f"{low:.2f} to {high:.2f}", font))
    columns = min(len(tiles), max(2, round(2.4 * size[1] / size[0] + 1)))  # landscape photos below each other
    width = max(tile.width for tile in tiles)
    rows = -(-len(tiles) // columns)
    picture = Image.new("RGB", (columns * (width + _GAP) - _GAP, rows * (tiles[0].height + _GAP) - _GAP), "white")
    for number, tile in enumerate(tiles):
        row, column = divmod(number, columns)
        picture.paste(tile, (column * (width + _GAP), row * (tiles[0].height + _GAP)))
    return np.asarray(picture)


def _titled(image: np.ndarray, title: str, note: str, font: int) -> Image.Image:
    """An image below its title, and a note at the right if there is room for both; long titles are cut."""
    height, width = image.shape[:2]
    banner = round(1.5 * font)
    tile = Image.new("RGB", (width, height + banner), "white")
    tile.paste(Image.fromarray(image), (0, banner))
    room = width - font - (text_width(note, font) if note else 0)
    title = drawable(title)
    while len(title) > 1 and text_width(title, font) > room:
        title = title[:-2] + "…"
    draw = ImageDraw.Draw(tile)
    draw_text(draw, (font // 4, font // 8), title, font, "black")
    if note:
        draw_text(draw, (width - font // 4, font // 8), note, font, (90, 90, 90), align="right")
    return tile
