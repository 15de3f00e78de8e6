"""Class-wise NMS whose cost does not grow with the number of candidates that nobody will see."""

from mmcv.ops import batched_nms
from mmengine.config import ConfigDict
from torch import Tensor

# R boxes, C classes.

_FIRST_CANDIDATES = 4096  # twenty times what most detectors return; mmcv loops over classes from 10 000 on


def multiclass_nms(
    boxes_xyxy: Tensor, scores: Tensor, score_thr: float, nms: ConfigDict, max_per_img: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Suppress overlapping boxes class by class and return the best of all.

    The same result as mmdet's function of this name. That one runs NMS over every score above the threshold, class
    after class, each time looking through all of them: with 1203 classes at a threshold of 1e-4 the work is quadratic
    in the number of classes. Whether a box survives depends on higher scores alone. So the best few thousand candidates
    are enough if ``max_per_img`` of them survive; if not, twice as many are taken.

    Args:
        boxes_xyxy: Boxes (R, 4), the same for all classes.
        scores: Scores (R, C), without a background column.
        score_thr: Only higher scores are candidates.
        nms: mmcv's NMS config, ``dict(type='nms', iou_threshold=0.5)``.
        max_per_img: How many detections to return at the most; none or a negative number: all.

    Returns:
        Boxes (N, 4), scores (N,) and labels (N,), best first.
    """
    num_classes = scores.shape[1]
    flat = scores.flatten()
    num_above = int((flat > score_thr).sum())
    # Other kinds than plain NMS change scores, by which more than the best candidates could come to the top.
    limited = max_per_img > 0 and nms.get("type", "nms") == "nms"
    num_candidates = min(num_above, max(_FIRST_CANDIDATES, 4 * max_per_img)) if limited else num_above
    while True:
        best, indices = flat.topk(num_candidates)
        labels = indices % num_classes
        candidates = boxes_xyxy[indices // num_classes]
        if num_candidates == 0:
            return candidates, best, labels
        detections, kept = batched_nms(candidates, best, labels, nms)
        if num_candidates == num_above or len(kept) >= max_per_img > 0:
            if max_per_img > 0:
                detections, kept = detections[:max_per_img], kept[:max_per_img]
            return detections[:, :4], detections[:, 4], labels[kept]
        num_candidates = min(num_above, 2 * num_candidates)
