"""Non-maximum suppression in the three forms of mmcv: ``nms``, ``softnms`` and ``nms_match``."""

import torch
from torch import Tensor

from densevlm_mm.compat.mmcv_ext.box_overlaps import pairwise_intersection_and_areas
from densevlm_mm.compat.mmcv_ext.reduced_precision import at_least_float32

_NAIVE, _LINEAR, _GAUSSIAN = 0, 1, 2


def nms(boxes: Tensor, scores: Tensor, iou_threshold: float, offset: int) -> Tensor:
    """Greedy suppression of boxes that overlap a better one by more than `iou_threshold`.

    Args:
        boxes: (N, 4) boxes in xyxy, pixels.
        scores: (N,) scores.
        iou_threshold: Intersection over union above which the worse box goes.
        offset: 0, or 1 for inclusive pixels, which is the same as growing every box by one at its right and bottom.

    Returns:
        (K,) int64 indices of the kept boxes, best first.
    """
    import torchvision

    boxes = at_least_float32(boxes)
    if offset:
        boxes = boxes + boxes.new_tensor([0, 0, offset, offset])
    return torchvision.ops.nms(boxes, scores.to(boxes.dtype), iou_threshold)


def softnms(
    boxes: Tensor,
    scores: Tensor,
    dets: Tensor,
    iou_threshold: float,
    sigma: float,
    min_score: float,
    method: int,
    offset: int,
) -> Tensor:
    """Suppression that lowers the scores of overlapping boxes (Bodla et al., "Soft-NMS", ICCV 2017).

    Args:
        boxes: (N, 4) boxes in xyxy, pixels.
        scores: (N,) scores.
        dets: Output, (N, 5): boxes and lowered scores in the order of the result; rows past the result are undefined.
        iou_threshold: Overlap from which methods 0 and 1 act.
        sigma: Width of method 2.
        min_score: Boxes whose lowered score is below it are dropped.
        method: 0 removes (plain suppression), 1 multiplies by 1 - IoU, 2 by exp(-IoU^2 / sigma).
        offset: 0 or 1, as in `nms`.

    Returns:
        (K,) int64 indices of the kept boxes in the order in which they were chosen.
    """
    boxes, lowered = at_least_float32(boxes), at_least_float32(scores).clone()
    remaining = torch.arange(len(boxes), device=boxes.device)
    kept: list[Tensor] = []
    while len(remaining):
        position = lowered[remaining].argmax()
        best = remaining[position]
        dets[len(kept), :4] = boxes[best]
        dets[len(kept), 4] = lowered[best]
        kept.append(best)
        remaining = torch.cat([remaining[:position], remaining[position + 1 :]])
        intersection, area, areas = pairwise_intersection_and_areas(boxes[best], boxes[remaining], offset)
        overlap = intersection / (area + areas - intersection)
        lowered[remaining] *= _score_factor(overlap, iou_threshold, sigma, method)
        # `not below` and not `at least`: a NaN score (degenerate boxes) stays, as in compiled mmcv.
        remaining = remaining[~(lowered[remaining] < min_score)]
    return torch.stack(kept) if kept else remaining


def _score_factor(overlap: Tensor, iou_threshold: float, sigma: float, method: int) -> Tensor:
    if method == _GAUSSIAN:
        return torch.exp(-(overlap**2) / sigma)
    if method == _LINEAR:
        return torch.where(overlap >= iou_threshold, 1 - overlap, 1.0)
    if method == _NAIVE:
        return (overlap < iou_threshold).to(overlap.dtype)
    raise ValueError(f"softnms has the methods 0 (naive), 1 (linear) and 2 (gaussian), got {method}")


def nms_match(dets: Tensor, iou_threshold: float) -> list[list[int]]:
    """Suppression that remembers which box each suppressed box went to.

    Args:
        dets: (N, 5) boxes in xyxy and scores.
        iou_threshold: Overlap from which (inclusive, unlike `nms`) the worse box joins the better one's group.

    Returns:
        One list a kept box, best first: its index, then the indices that it suppressed in the order of their scores.
    """
    boxes = at_least_float32(dets[:, :4])
    remaining = dets[:, 4].argsort(descending=True)
    groups: list[list[int]] = []
    while len(remaining):
        best, rest = remaining[0], remaining[1:]
        intersection, area, areas = pairwise_intersection_and_areas(boxes[best], boxes[rest], 0)
        joins = intersection / (area + areas - intersection) >= iou_threshold
        groups.append([int(best), *rest[joins].tolist()])
        remaining = rest[~joins]
    return groups
