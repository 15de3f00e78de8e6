"""Pictures of segmentations with a legend of the classes in them."""

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np

from densevlm_mm.visualization.distinct_colours import assign_colours
from densevlm_mm.visualization.legend_panel import WHITE, LegendEntry, draw_legend, draw_title
from densevlm_mm.visualization.named_regions import picture_scale
from densevlm_mm.vocabulary.class_matching import renumbering
from densevlm_mm.vocabulary.names import normal_form

MAX_ENTRIES = 80


class LabelledMap(NamedTuple):
    """A label map with the names of its labels.

    Args:
        title: What it is.
        labels: (H, W) whole numbers; those that name no class are left uncoloured.
        names: Of label 0, 1, ...
    """

    title: str
    labels: np.ndarray
    names: Sequence[str]


def draw_segmentation(
    image: np.ndarray,
    maps: Sequence[LabelledMap],
    alpha: float = 0.6,
    size: int = 512,
    max_entries: int = MAX_ENTRIES,
) -> np.ndarray:
    """Draw the image, label maps over it, and a legend of the classes that occur in them, side by side.

    Under an overlay the image is grey, so that the colours are those of the legend.
    The legend has each class's share of the image in every map, the largest classes first. Maps whose lists of names
    have the same length are taken to have the same classes, called as the last map calls them, in the same order unless
    the names say otherwise; else classes of two maps are the same if their names are. A class keeps its colour from
    picture to picture unless another class in the picture, with more pixels, has it.

    Args:
        image: RGB (H, W, 3) uint8.
        maps: Label maps of the image.
        alpha: Opacity of the overlay, 0 to 1.
        size: Images whose longer side is shorter than this are enlarged to it, in pixels.
        max_entries: Most classes in the legend, the largest; the rest is counted.

    Returns:
        RGB picture, uint8.

    Raises:
        ValueError: a map has not the size of the image.
    """
    for each in maps:
        if each.labels.shape != image.shape[:2]:
            raise ValueError(
                f"{each.title} is {each.labels.shape[0]} x {each.labels.shape[1]}, the image "
                f"{image.shape[0]} x {image.shape[1]}: give both at the size of the file"
            )
    zoom = max(1.0, size / max(image.shape[:2]))
    width, height = (max(round(side * zoom), 1) for side in image.shape[1::-1])
    canvas = cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR)
    numbered, names = _number_classes(maps)
    shares = np.stack([_shares(labels, len(names)) for labels in numbered])
    order = np.argsort(-shares.max(axis=0), kind="stable")
    order = order[shares.max(axis=0)[order] > 0]
    colours = np.zeros((len(names) + 1, 3))
    colours[order] = assign_colours(order.tolist())
    scale = picture_scale(canvas.shape)
    panels = [draw_title(canvas, "image", scale)]
    grey = np.repeat(cv2.cvtColor(canvas, cv2.COLOR_RGB2GRAY)[..., None], 3, axis=-1)
    for each, labels in zip(maps, numbered, strict=True):
        large = cv2.resize(labels, (width, height), interpolation=cv2.INTER_NEAREST)
        overlay = (grey * (1 - alpha) + colours[large] * alpha).round().astype(np.uint8)
        overlay = np.where((large < len(names))[..., None], overlay, canvas)
        panels.append(draw_title(overlay, each.title, scale))
    entries = [LegendEntry(names[index], colours[index], shares[:, index]) for index in order[:max_entries]]
    if len(order) > max_entries:
        rest = order[max_entries:]
        entries.append(LegendEntry(f"+{len(rest)} more", np.array(WHITE), shares[:, rest].sum(axis=1)))
    panels.append(draw_legend(entries, [each.title for each in maps], panels[0].shape[0], scale))
    tallest = max(panel.shape[0] for panel in panels)
    gap = 4
    padded = [np.pad(panel, ((0, tallest - len(panel)), (0, gap), (0, 0)), constant_values=255) for panel in panels]
    return np.concatenate(padded, axis=1)


def _number_classes(maps: Sequence[LabelledMap]) -> tuple[list[np.ndarray], list[str]]:
    """Label maps (H, W) int32 over one common list of classes, and the list; its length stands for no class."""
    names = [name.strip() for name in maps[-1].names]
    try:
        numbers = [np.array(renumbering(each.names, names) or range(len(names)), dtype=np.int64) for each in maps]
    except ValueError:  # lists of other classes
        known: dict[str, int] = {}
        numbers = [np.array([known.setdefault(normal_form(name), len(known)) for name in each.names]) for each in maps]
        spelled = {normal_form(name): name.strip() for each in maps for name in each.names}
        names = [spelled[name] for name in known]
    numbered = []
    for each, table in zip(maps, numbers, strict=True):
        is_class = (each.labels >= 0) & (each.labels < len(table))
        numbered.append(np.where(is_class, table[np.where(is_class, each.labels, 0)], len(names)).astype(np.int32))
    return numbered, names


def _shares(labels: np.ndarray, num_classes: int) -> np.ndarray:
    return np.bincount(labels.ravel(), minlength=num_classes + 1)[:num_classes] / labels.size
