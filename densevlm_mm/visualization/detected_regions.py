"""Detections as they are drawn: what stands at a box, and in which colour."""

from collections.abc import Sequence

import numpy as np

from densevlm_mm.visualization.distinct_colours import assign_colours
from densevlm_mm.visualization.fonts import label_text
from densevlm_mm.visualization.named_regions import NamedRegion

# Okabe and Ito's blue and vermilion, which colour-blind people tell apart too.
BASE_COLOUR = (0, 114, 178)
NOVEL_COLOUR = (213, 94, 0)


def detected_regions(
    names: Sequence[str],
    labels: Sequence[int],
    boxes: np.ndarray | None = None,
    *,
    scores: np.ndarray | None = None,
    masks: np.ndarray | None = None,
    points: np.ndarray | None = None,
    is_novel: Sequence[bool | None] | None = None,
) -> list[NamedRegion]:
    """Name and score of detections, the best first, the largest without scores.

    Where it is known which classes training held out, base classes are blue, and novel ones vermilion and marked
    ``(novel)``; else every class has a colour of its own.

    Args:
        names: N class names.
        labels: N class numbers.
        boxes: x1, y1, x2, y2 (N, 4), or None.
        scores: (N,), or None.
        masks: (N, H, W) bool, or None.
        points: x, y (N, 2), or None.
        is_novel: N flags; None, or None among them, where it is unknown.
    """
    novel = [None] * len(names) if is_novel is None else list(is_novel)
    if None in novel:
        present = list(dict.fromkeys(labels))
        by_class = dict(zip(present, assign_colours(present), strict=True))
        colours = [tuple(by_class[label].tolist()) for label in labels]
    else:
        colours = [NOVEL_COLOUR if flag else BASE_COLOUR for flag in novel]
    if scores is not None:
        importance = np.nan_to_num(scores)
    elif boxes is not None:
        importance = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    else:
        importance = np.zeros(len(names))
    regions = []
    for i in np.argsort(-importance, kind="stable").tolist():
        text = label_text(names[i], labels[i]) + (" (novel)" if novel[i] else "")
        regions.append(
            NamedRegion(
                text if scores is None else f"{text} {scores[i]:.2f}",
                colours[i],
                box=None if boxes is None else boxes[i].tolist(),
                mask=None if masks is None else masks[i],
                point=None if points is None else points[i].tolist(),
            )
        )
    return regions
