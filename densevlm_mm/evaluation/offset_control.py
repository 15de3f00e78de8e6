"""What a mere shift of the boundary between things and stuff would give."""

from typing import NamedTuple

import numpy as np


class OffsetControl(NamedTuple):
    """Result of :func:`best_stuff_offset`; percentages."""

    before: float
    best: float
    offset: float


def best_stuff_offset(
    margin: np.ndarray, best_of_kind: np.ndarray, is_thing: np.ndarray, labels: np.ndarray, num_classes: int
) -> OffsetControl:
    """Best mean of Masks-T and Masks-S Top-1 over every constant added to all stuff logits, found exactly.

    A thing is right if its class is the best thing and beats the best stuff class by more than the constant; stuff
    likewise, the other way round. So the score only changes where the constant passes a margin: sort the margins, and
    sum per-class accuracy from both ends.

    Args:
        margin: (N,) best thing logit minus best stuff logit.
        best_of_kind: (N,) bool, whether the annotated class is the single best of its kind.
        is_thing: (N,) bool, kind of the annotated class.
        labels: (N,) int annotated class.
        num_classes: K.

    Returns:
        Mean accuracy without a constant, with the best one (of several the one nearest to zero), and that constant;
        NaN if there are no things or no stuff.
    """
    if is_thing.all() or not is_thing.any():
        return OffsetControl(float("nan"), float("nan"), float("nan"))
    # Each region's share of its group's mean class accuracy; half of it, as the score is the mean of two groups.
    class_counts = np.bincount(labels, minlength=num_classes)
    thing_of_class = np.zeros(num_classes, dtype=bool)
    thing_of_class[labels] = is_thing
    num_present = np.where(
        is_thing, (thing_of_class & (class_counts > 0)).sum(), (~thing_of_class & (class_counts > 0)).sum()
    )
    weight = np.where(best_of_kind, 50.0 / class_counts[labels] / num_present, 0.0)
    before = weight[is_thing & (margin > 0)].sum() + weight[~is_thing & (margin < 0)].sum()

    edges, edge_of_region = np.unique(margin, return_inverse=True)
    thing_weight = np.bincount(edge_of_region, weights=np.where(is_thing, weight, 0.0), minlength=len(edges))
    stuff_weight = np.bincount(edge_of_region, weights=np.where(is_thing, 0.0, weight), minlength=len(edges))
    # Interval i lies between edges i - 1 and i: things with a margin from edge i on are right, stuff with one below it.
    things_right = thing_weight.sum() - np.concatenate([[0.0], np.cumsum(thing_weight)])
    score = things_right + np.concatenate([[0.0], np.cumsum(stuff_weight)])
    low = np.concatenate([[-np.inf], edges])
    high = np.concatenate([edges, [np.inf]])
    # Equal scores are summed in other orders and differ in their last bits.
    best = np.flatnonzero(score >= score.max() - 1e-9)
    offsets = [_inside(low[i], high[i]) for i in best]
    return OffsetControl(float(before), float(score.max()), min(offsets, key=abs))


def _inside(low: float, high: float) -> float:
    """Number of smallest magnitude that is clearly inside an open interval."""
    if low < 0 < high:
        return 0.0
    if np.isinf(low) or np.isinf(high):
        return float(high - 1.0 if np.isinf(low) else low + 1.0)
    return float((low + high) / 2)
