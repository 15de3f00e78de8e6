"""The trade between dense features and image-text retrieval as numbers: curves over alpha, sweeps over a weight.

Plain arithmetic on figures that are known; :mod:`densevlm_mm.analysis.alpha_sweep` measures them. What is called
retrieval here may be any figure of whole images.
"""

from collections.abc import Mapping, Sequence
from itertools import combinations, pairwise
from typing import NamedTuple

DENSE_FIGURES = ("boxes_top1", "masks_t_top1", "masks_s_top1")
_EPSILON = 1e-9


class CurvePoint(NamedTuple):
    """A point of a trade-off curve.

    Args:
        alpha: Weight of the trained parameters in the ensemble, 0 to 1.
        dense: Mean of Boxes, Masks-T and Masks-S Top-1, percent; see :func:`dense_mean`.
        retrieval: Recall, or class Top-1, of whole images, percent.
    """

    alpha: float
    dense: float
    retrieval: float


def dense_mean(figures: Mapping[str, float]) -> float:
    """Mean of Boxes, Masks-T and Masks-S Top-1; NaN if one of the groups has no region."""
    return sum(figures[key] for key in DENSE_FIGURES) / len(DENSE_FIGURES)


def retrieval_near_best_dense(curve: Sequence[CurvePoint], tolerance: float = 1.0) -> CurvePoint:
    """The point of the largest alpha whose dense mean is within some points of the curve's best.

    Args:
        curve: At least one point, in any order.
        tolerance: Points of dense mean.

    Raises:
        ValueError: If the curve is empty or has a figure that is not a number.
    """
    _check(curve)
    best = max(point.dense for point in curve)
    return max((point for point in curve if point.dense >= best - tolerance - _EPSILON), key=lambda point: point.alpha)


def dense_at_kept_retrieval(
    curve: Sequence[CurvePoint], initial_retrieval: float, share: float = 0.95
) -> CurvePoint | None:
    """The point of the largest alpha that keeps a share of the initial model's retrieval.

    Args:
        curve: At least one point, in any order.
        initial_retrieval: Of the model before training, percent.
        share: To be kept, 0 to 1.

    Returns:
        The point; None if no point of the curve keeps it.

    Raises:
        ValueError: If the curve is empty or has a figure that is not a number.
    """
    _check(curve)
    kept = [point for point in curve if point.retrieval >= share * initial_retrieval - _EPSILON]
    return max(kept, key=lambda point: point.alpha, default=None)


def sweep_knee(retrieval: Mapping[float, float], share: float = 0.95) -> float:
    """The smallest weight of a sweep that gives a share of the retrieval reached at the largest weight.

    Args:
        retrieval: Weight of a loss to the retrieval that training with it leaves, percent.
        share: 0 to 1.

    Raises:
        ValueError: If the sweep is empty or has a figure that is not a number.
    """
    _check([CurvePoint(weight, 0.0, value) for weight, value in retrieval.items()])
    wanted = share * retrieval[max(retrieval)] - _EPSILON
    return min(weight for weight, value in retrieval.items() if value >= wanted)


def lies_above(curve: Sequence[CurvePoint], other: Sequence[CurvePoint]) -> bool | None:
    """Whether a curve has the higher retrieval at equal dense mean, wherever both have that dense mean.

    Curves are broken lines through their points in the order of alpha. Where one has a dense mean twice (it may rise
    and fall again), the better retrieval counts. Curves of one initial model share their first point: they may touch,
    but one of them has to be higher somewhere.

    Args:
        curve: Two points or more.
        other: Two points or more.

    Returns:
        None if the two have no range of dense means in common, so that nothing can be compared.

    Raises:
        ValueError: If a curve has fewer than two points or a figure that is not a number.
    """
    segments, other_segments = _segments(curve), _segments(other)
    low = max(min(point.dense for point in one) for one in (curve, other))
    high = min(max(point.dense for point in one) for one in (curve, other))
    if high - low <= _EPSILON:
        return None
    bends = {point.dense for point in (*curve, *other)}
    for one in (segments, other_segments):
        bends |= {crossing for pair in combinations(one, 2) if (crossing := _crossing(*pair)) is not None}
    edges = sorted({low, high, *(bend for bend in bends if low < bend < high)})
    # Between two bends the difference is a straight line: its ends decide, seen from within, as a curve that turns
    # back jumps at the turn.
    gains = [
        _best(segments, place) - _best(other_segments, place)
        for left, right in pairwise(edges)
        for place in (left + 1e-6 * (right - left), right - 1e-6 * (right - left))
    ]
    return bool(min(gains) >= -_EPSILON and max(gains) > 1e-6)


_Segment = tuple[CurvePoint, CurvePoint]  # of ascending dense mean


def _segments(curve: Sequence[CurvePoint]) -> list[_Segment]:
    _check(curve)
    if len(curve) < 2:
        raise ValueError("a curve needs two points or more to be compared with another")
    ordered = sorted(curve, key=lambda point: point.alpha)
    return [(a, b) if a.dense <= b.dense else (b, a) for a, b in pairwise(ordered)]


def _at(segment: _Segment, dense: float) -> float:
    start, end = segment
    if end.dense == start.dense:
        return max(start.retrieval, end.retrieval)
    share = (dense - start.dense) / (end.dense - start.dense)
    return start.retrieval + share * (end.retrieval - start.retrieval)


def _best(segments: Sequence[_Segment], dense: float) -> float:
    return max(_at(segment, dense) for segment in segments if segment[0].dense <= dense <= segment[1].dense)


def _crossing(one: _Segment, other: _Segment) -> float | None:
    """Dense mean at which two segments have one retrieval; None if they have not, or have it everywhere."""
    low, high = max(one[0].dense, other[0].dense), min(one[1].dense, other[1].dense)
    if low >= high:
        return None
    left, right = (_at(one, place) - _at(other, place) for place in (low, high))
    return None if left * right >= 0 else low + (high - low) * left / (left - right)


def _check(curve: Sequence[CurvePoint]) -> None:
    if not curve:
        raise ValueError("there is no point to look at")
    wrong = next((point for point in curve if any(value != value for value in point)), None)
    if wrong is not None:
        raise ValueError(f"{wrong} has a figure that is not a number: has a group of classes no region?")
