from itertools import pairwise

import numpy as np
import pytest

from densevlm_mm.analysis.tradeoff import (
    CurvePoint,
    dense_at_kept_retrieval,
    dense_mean,
    lies_above,
    retrieval_near_best_dense,
    sweep_knee,
)

CURVE = [
    CurvePoint(0.0, 30.0, 10.0),
    CurvePoint(0.5, 50.0, 9.6),
    CurvePoint(0.9, 60.0, 6.0),
    CurvePoint(1.0, 59.2, 4.0),
]


def test_the_dense_mean_is_over_three_figures() -> None:
    figures = dict(boxes_top1=30.0, masks_t_top1=60.0, masks_s_top1=90.0, boxes_top5=1.0)
    assert dense_mean(figures) == 60


def test_the_largest_alpha_near_the_best_dense_mean_is_chosen() -> None:
    assert retrieval_near_best_dense(CURVE[::-1]).alpha == 1.0
    assert retrieval_near_best_dense(CURVE, tolerance=0.5) == CurvePoint(0.9, 60.0, 6.0)
    assert retrieval_near_best_dense(CURVE, tolerance=0.8).alpha == 1.0  # exactly on the border


def test_the_largest_alpha_that_keeps_retrieval_is_chosen() -> None:
    kept = dense_at_kept_retrieval(CURVE, 10.0)
    assert kept is not None
    assert (kept.alpha, kept.dense) == (0.5, 50.0)
    assert dense_at_kept_retrieval(CURVE, 10.0, share=0.4) == CURVE[-1]
    assert dense_at_kept_retrieval(CURVE[2:], 10.0) is None


def test_the_knee_is_the_smallest_weight_that_gives_nearly_all() -> None:
    assert sweep_knee({0: 2.9, 1: 6.0, 10: 9.6, 30: 10.2, 100: 10.0}) == 10
    assert sweep_knee({100: 10.0, 0: 2.9, 1: 9.5}) == 1  # 95 % of the largest weight's, in any order
    assert sweep_knee({0: 12.0, 1: 9.0}) == 0  # nothing fell


def test_a_curve_of_higher_retrieval_at_equal_dense_mean_lies_above() -> None:
    lower = [CurvePoint(a, d, r) for a, d, r in ((0, 30, 10), (0.5, 45, 6), (1, 62, 3))]
    higher = [CurvePoint(a, d, r) for a, d, r in ((0, 30, 10), (0.5, 50, 9), (1, 58, 8))]
    assert lies_above(higher, lower) is True
    assert lies_above(lower, higher) is False
    assert lies_above(lower, lower) is False


def test_curves_that_cross_between_their_points_lie_above_neither() -> None:
    one = [CurvePoint(0, 0, 0), CurvePoint(1, 10, 10)]
    other = [CurvePoint(0, 0, 4), CurvePoint(0.5, 4, 4), CurvePoint(1, 10, 4)]
    assert lies_above(one, other) is False
    assert lies_above(other, one) is False


def test_curves_without_a_common_dense_mean_are_not_compared() -> None:
    assert lies_above([CurvePoint(0, 0, 0), CurvePoint(1, 1, 1)], [CurvePoint(0, 2, 0), CurvePoint(1, 3, 1)]) is None
    assert lies_above([CurvePoint(0, 0, 0), CurvePoint(1, 1, 1)], [CurvePoint(0, 1, 0), CurvePoint(1, 3, 1)]) is None


def test_curves_that_turn_back_count_with_their_better_branch() -> None:
    rng = np.random.default_rng(0)

    def envelope(curve: list[CurvePoint], places: np.ndarray) -> np.ndarray:
        values = np.full(len(places), -np.inf)
        for a, b in pairwise(curve):
            inside = (places >= min(a.dense, b.dense)) & (places <= max(a.dense, b.dense))
            line = a.retrieval + (places - a.dense) / (b.dense - a.dense) * (b.retrieval - a.retrieval)
            values = np.where(inside, np.maximum(values, line), values)
        return values

    outcomes = set()
    for _ in range(200):
        one, other = ([CurvePoint(i, *rng.integers(0, 20, 2) + rng.random(2)) for i in range(4)] for _ in range(2))
        one = [point._replace(retrieval=point.retrieval + 8) for point in one]
        low = max(min(p.dense for p in c) for c in (one, other))
        high = min(max(p.dense for p in c) for c in (one, other))
        if high <= low:
            continue
        places = np.linspace(low, high, 4001)[1:-1]
        expected = bool((envelope(one, places) > envelope(other, places)).all())
        assert lies_above(one, other) is expected
        outcomes.add(expected)
    assert outcomes == {True, False}


def test_figures_that_are_no_numbers_are_named() -> None:
    with pytest.raises(ValueError, match=r"dense=nan.*not a number"):
        retrieval_near_best_dense([CurvePoint(0.5, float("nan"), 1.0)])
    with pytest.raises(ValueError, match="no point"):
        sweep_knee({})
    with pytest.raises(ValueError, match="two points"):
        lies_above(CURVE[:1], CURVE)
