import numpy as np
import pytest

from densevlm_mm.evaluation.offset_control import best_stuff_offset


def brute_force(scores, labels, class_is_thing, offset):
    """Mean of the two groups' mean class accuracies with a constant added to the stuff logits."""
    shifted = scores + np.where(class_is_thing, 0.0, offset)
    groups = []
    for kind in (True, False):
        per_class = []
        for label in np.flatnonzero(class_is_thing == kind):
            rows = labels == label
            if rows.any():
                others = np.delete(shifted[rows], label, axis=1)
                per_class.append(np.mean(shifted[rows, label] > others.max(axis=1)))
        groups.append(np.mean(per_class))
    return 100 * np.mean(groups)


def reduce(scores, labels, class_is_thing):
    margin = scores[:, class_is_thing].max(1) - scores[:, ~class_is_thing].max(1)
    best = [
        all(row[label] > row[k] for k in np.flatnonzero(class_is_thing == class_is_thing[label]) if k != label)
        for row, label in zip(scores, labels, strict=True)
    ]
    return best_stuff_offset(margin, np.array(best), class_is_thing[labels], labels, len(class_is_thing))


@pytest.mark.parametrize("seed", range(8))
def test_equals_trying_every_interval(seed):
    rng = np.random.default_rng(seed)
    class_is_thing = rng.permutation([True] * 4 + [False] * 3)
    labels = rng.integers(0, 6, 60)  # class 6 has no sample
    labels[:2] = np.flatnonzero(class_is_thing)[0], np.flatnonzero(~class_is_thing)[0]
    scores = rng.normal(size=(60, 7)) + 2 * np.eye(7)[labels] + 1.5 * class_is_thing  # biased towards things
    if seed % 2:
        scores = (scores * 4).round() / 4  # many equal margins, exact in binary
    control = reduce(scores, labels, class_is_thing)
    margin = np.unique(scores[:, class_is_thing].max(1) - scores[:, ~class_is_thing].max(1))
    tries = [margin[0] - 1, *(margin[1:] + margin[:-1]) / 2, margin[-1] + 1, *margin, 0.0]
    assert control.best == pytest.approx(max(brute_force(scores, labels, class_is_thing, c) for c in tries))
    assert control.before == pytest.approx(brute_force(scores, labels, class_is_thing, 0.0))
    assert control.best == pytest.approx(brute_force(scores, labels, class_is_thing, control.offset))
    assert control.best > control.before


def test_no_shift_where_none_helps():
    class_is_thing = np.array([True, False])
    control = reduce(np.array([[2.0, 0.0], [0.0, 2.0]]), np.array([0, 1]), class_is_thing)
    assert control == (100.0, 100.0, 0.0)


@pytest.mark.parametrize("kind", [True, False])
def test_one_kind_alone_gives_nan(kind):
    control = best_stuff_offset(np.ones(3), np.ones(3, bool), np.full(3, kind), np.zeros(3, int), 2)
    assert np.isnan(control).all()
