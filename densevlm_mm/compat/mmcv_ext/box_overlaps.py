"""Intersection over union of boxes, in the form that ``mmcv.ops.bbox_overlaps`` calls."""

from torch import Tensor

from densevlm_mm.compat.mmcv_ext.reduced_precision import at_least_float32


def pairwise_intersection_and_areas(boxes_a: Tensor, boxes_b: Tensor, offset: float) -> tuple[Tensor, Tensor, Tensor]:
    """Intersections and areas of boxes whose leading dimensions broadcast.

    Args:
        boxes_a: (..., 4) boxes in xyxy, pixels.
        boxes_b: (..., 4) boxes in xyxy, pixels.
        offset: 0, or 1 for the inclusive-pixel convention of mmdet 1 (width = x2 - x1 + 1).

    Returns:
        Intersection areas (...), areas of `boxes_a` and areas of `boxes_b`.
    """
    sides = boxes_a[..., 2:].minimum(boxes_b[..., 2:]) - boxes_a[..., :2].maximum(boxes_b[..., :2]) + offset
    areas_a = (boxes_a[..., 2:] - boxes_a[..., :2] + offset).prod(-1)
    areas_b = (boxes_b[..., 2:] - boxes_b[..., :2] + offset).prod(-1)
    return sides.clamp(min=0).prod(-1), areas_a, areas_b


def bbox_overlaps(bboxes1: Tensor, bboxes2: Tensor, ious: Tensor, mode: int, aligned: bool, offset: int) -> None:
    """Write the overlaps of boxes into `ious`.

    Args:
        bboxes1: (M, 4) boxes in xyxy.
        bboxes2: (N, 4) boxes in xyxy; N = M if `aligned`.
        ious: Output, (M, N), or (M,) if `aligned`.
        mode: 0 for intersection over union, 1 for intersection over the area of `bboxes1`.
        aligned: Compare box i with box i only.
        offset: 0 or 1, see `pairwise_intersection_and_areas`. With 0, two empty boxes give NaN, as compiled mmcv does.
    """
    boxes_a, boxes_b = at_least_float32(bboxes1), at_least_float32(bboxes2)
    if not aligned:
        boxes_a, boxes_b = boxes_a[:, None], boxes_b[None]
    intersection, areas_a, areas_b = pairwise_intersection_and_areas(boxes_a, boxes_b, offset)
    base = areas_a + areas_b - intersection if mode == 0 else areas_a.expand_as(intersection)
    ious.copy_(intersection / base.clamp(min=offset))
