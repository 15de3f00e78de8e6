"""A picture of how the annotated regions of an image are classified."""

from collections.abc import Sequence

import cv2
import numpy as np

from densevlm_mm.structures import RegionDataSample
from densevlm_mm.visualization.fonts import label_text
from densevlm_mm.visualization.named_regions import MAX_LABELS, NamedRegion, draw_named_regions

# Blue and vermilion of the Okabe-Ito palette: told apart by colour-blind readers and in print.
RIGHT, WRONG = (0, 114, 178), (213, 94, 0)


def draw_region_predictions(
    image: np.ndarray,
    sample: RegionDataSample,
    class_names: Sequence[str],
    size: int = 640,
    max_labels: int = MAX_LABELS,
) -> np.ndarray:
    """Draw the Top-1 class of every annotated region: things by their boxes, stuff by its mask.

    A right answer is blue; a wrong one is vermilion and has the true class in brackets behind it. Larger regions come
    first where there is no place for all names.

    Args:
        image: RGB image (H, W, 3), uint8, as the file has it.
        sample: Data sample with ``gt_regions`` and ``pred_regions``.
        class_names: Names of the K classes.
        size: Longer side of the picture in pixels.
        max_labels: Most names on the picture.

    Returns:
        RGB picture, uint8.
    """
    scale = size / max(image.shape[:2])
    height, width = (max(round(side * scale), 1) for side in image.shape[:2])
    canvas = cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR)
    return draw_named_regions(canvas, _named_regions(sample, class_names, width, height), max_labels, min_size=0)


def _named_regions(sample: RegionDataSample, class_names: Sequence[str], width: int, height: int) -> list[NamedRegion]:
    regions, predictions = sample.gt_regions, sample.pred_regions
    side = sample.pad_shape[0] * width / sample.img_shape[1]  # of the padded canvas, in pixels of the picture
    is_thing = regions.is_thing.cpu().numpy()
    predicted = np.where(
        is_thing,
        predictions.box_scores.argmax(dim=1).cpu().numpy(),
        predictions.mask_scores.argmax(dim=1).cpu().numpy(),
    )
    boxes = regions.boxes_norm_xyxy.cpu().numpy() * side
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    named = []
    for i in np.argsort(-areas, kind="stable").tolist():
        label = int(regions.labels[i])
        is_right = int(predicted[i]) == label
        text = label_text(class_names[predicted[i]], int(predicted[i]))
        text += "" if is_right else f" ({label_text(class_names[label], label)})"
        colour = RIGHT if is_right else WRONG
        if is_thing[i]:
            named.append(NamedRegion(text, colour, box=boxes[i].tolist()))
        else:
            mask = _on_picture(regions.masks[i].cpu().numpy(), side, width, height)
            named.append(NamedRegion(text, colour, mask=mask))
    return named


def _on_picture(mask: np.ndarray, side: float, width: int, height: int) -> np.ndarray:
    """Bring a mask of the padded canvas's feature grid to the pixels of the picture, (height, width) bool."""
    grid_height, grid_width = mask.shape
    size = (max(round(side), 1), max(round(side * grid_height / grid_width), 1))
    full = cv2.resize(mask.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST)[:height, :width]
    pad = ((0, height - full.shape[0]), (0, width - full.shape[1]))
    return np.pad(full, pad).astype(bool)
