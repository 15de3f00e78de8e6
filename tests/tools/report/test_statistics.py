import math

import pytest

from report.statistics import best_experiments, over_seeds, spread


def test_spread_is_mean_and_sample_deviation() -> None:
    values = [1.0, 4.0, 10.0]
    mean = sum(values) / 3
    deviation = math.sqrt(sum((value - mean) ** 2 for value in values) / 2)
    found = spread(values)
    assert found.mean == pytest.approx(mean)
    assert found.std == pytest.approx(deviation)
    assert found.text() == f"{mean:.1f} ± {deviation:.1f}"


def test_one_value_has_no_deviation() -> None:
    assert spread([2.0]).std is None
    assert spread([2.0]).text() == "2.0"
    assert spread([-2.0]).text(signed=True) == "−2.0"


def test_seeds_without_an_experiment_do_not_count() -> None:
    results = {0: {"a": {"m": 1.0}, "b": {"m": 3.0}}, 1: {"a": {"m": 2.0}}}
    summary = over_seeds(results)
    assert summary["a"]["m"].values == (1.0, 2.0)
    assert summary["b"]["m"].values == (3.0,)


def test_the_best_is_decided_by_what_is_printed() -> None:
    summary = over_seeds({0: {"a": {"m": 10.01}, "b": {"m": 10.04}, "c": {"m": 9.0}, "d": {}}})
    assert best_experiments(summary, ["a", "b", "c", "d"], "m") == {"a", "b"}
    assert best_experiments(summary, ["a", "b", "c"], "m", lower_is_better=True) == {"c"}
    assert best_experiments(summary, ["a", "d"], "m") == set()
