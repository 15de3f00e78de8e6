"""A picture of how the annotated regions of an image are classified."""

from collections.abc import Sequence
from typing import Any

import cv2
import matplotlib.patheffects
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from densevlm_mm.structures import RegionDataSample
from densevlm_mm.visualization.fonts import font_families, label_text

# Blue and vermilion of the Okabe-Ito palette: told apart by colour-blind readers and in print.
RIGHT, WRONG = "#0072B2", "#D55E00"


def draw_region_predictions(
    image: np.ndarray, sample: RegionDataSample, class_names: Sequence[str], size: int = 512
) -> np.ndarray:
    """Draw the Top-1 class of every annotated region: things by their boxes, stuff by its mask's outline.

    A right answer is blue; a wrong one is vermilion and has the true class in brackets behind it.

    Args:
        image: RGB image (H, W, 3), uint8, as the file has it.
        sample: Data sample with ``gt_regions`` and ``pred_regions``.
        class_names: Names of the K classes.
        size: Longer side of the picture in pixels.

    Returns:
        RGB picture, uint8.
    """
    scale = size / max(image.shape[:2])
    height, width = (max(round(side * scale), 1) for side in image.shape[:2])
    figure = Figure(figsize=(width / 100, height / 100), dpi=100)
    canvas = FigureCanvasAgg(figure)
    axis = figure.add_axes((0, 0, 1, 1))
    axis.imshow(cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR))
    axis.set(xlim=(0, width), ylim=(height, 0))
    axis.axis("off")
    _draw_regions(axis, sample, class_names, width, height)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def _draw_regions(axis: Axes, sample: RegionDataSample, class_names: Sequence[str], width: int, height: int) -> None:
    regions, predictions = sample.gt_regions, sample.pred_regions
    side = sample.pad_shape[0] * width / sample.img_shape[1]  # of the padded canvas, in pixels of the picture
    predicted = np.where(
        regions.is_thing.cpu().numpy(),
        predictions.box_scores.argmax(dim=1).cpu().numpy(),
        predictions.mask_scores.argmax(dim=1).cpu().numpy(),
    )
    order = np.argsort(regions.is_thing.cpu().numpy(), kind="stable")  # things on top of stuff
    for i in order:
        label = int(regions.labels[i])
        is_right = int(predicted[i]) == label
        text = label_text(class_names[predicted[i]], int(predicted[i]))
        text += "" if is_right else f" ({label_text(class_names[label], label)})"
        colour = RIGHT if is_right else WRONG
        if regions.is_thing[i]:
            left, top, right, bottom = (regions.boxes_norm_xyxy[i].cpu().numpy() * side).tolist()
            axis.add_patch(
                Rectangle((left, top), right - left, bottom - top, fill=False, edgecolor=colour, linewidth=2)
            )
            anchor = ((left + right) / 2, top)
        else:
            anchor = _draw_outline(axis, regions.masks[i].cpu().numpy(), side, colour, width, height)
        _draw_text(axis, text, anchor, colour, width, height)


def _draw_outline(
    axis: Axes, mask: np.ndarray, side: float, colour: str, width: int, height: int
) -> tuple[float, float]:
    """Outline a mask of the feature grid; return the point inside it that is farthest from its border."""
    grid_height, grid_width = mask.shape
    full = cv2.resize(
        mask.astype(np.uint8), (round(side), round(side * grid_height / grid_width)), interpolation=cv2.INTER_NEAREST
    )[:height, :width]
    if not full.any():
        return 0.0, 0.0
    for contour in cv2.findContours(full, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)[0]:
        axis.plot(*np.append(contour[:, 0], contour[:1, 0], axis=0).T, color=colour, linewidth=1.5, linestyle="--")
    depth = cv2.distanceTransform(np.pad(full, 1), cv2.DIST_L2, 3)[1:-1, 1:-1]
    y, x = np.unravel_index(depth.argmax(), depth.shape)
    return float(x), float(y)


def _draw_text(axis: Axes, text: str, anchor: tuple[float, float], colour: str, width: int, height: int) -> None:
    half = 5 * len(text)  # about half of the text's width: keep it inside the picture
    x = min(max(anchor[0], min(half, width / 2)), max(width - half, width / 2))
    y = min(max(anchor[1], 12), height - 8)
    outline = [matplotlib.patheffects.withStroke(linewidth=3, foreground="white")]
    style: dict[str, Any] = dict(color=colour, fontsize=12, weight="bold", path_effects=outline)
    axis.text(x, y, text, ha="center", va="center", family=font_families(text), parse_math=False, usetex=False, **style)
