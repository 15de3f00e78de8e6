"""Figures of several seeds put together."""

import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

# Seed -> experiment -> metric -> value.
SeedResults = Mapping[int, Mapping[str, Mapping[str, float]]]


class Spread(NamedTuple):
    """Mean and sample standard deviation (n - 1) of n values; no deviation for a single one."""

    mean: float
    std: float | None
    values: tuple[float, ...]

    def text(self, signed: bool = False) -> str:
        """Such as ``51.5 ± 1.2``."""
        mean = f"{self.mean:+.1f}".replace("-", "−") if signed else f"{self.mean:.1f}"
        return mean if self.std is None else f"{mean} ± {self.std:.1f}"


def spread(values: Iterable[float]) -> Spread:
    """Mean and deviation of at least one value."""
    values = tuple(values)
    return Spread(statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else None, values)


def over_seeds(results: SeedResults) -> dict[str, dict[str, Spread]]:
    """Spread of every metric of every experiment over the seeds that have it.

    Args:
        results: What was measured.

    Returns:
        Experiment -> metric -> spread.
    """
    collected: dict[str, dict[str, list[float]]] = {}
    for experiments in results.values():
        for name, metrics in experiments.items():
            for metric, value in metrics.items():
                collected.setdefault(name, {}).setdefault(metric, []).append(value)
    return {name: {metric: spread(values) for metric, values in metrics.items()} for name, metrics in collected.items()}


def best_experiments(
    summary: Mapping[str, Mapping[str, Spread]], names: Sequence[str], metric: str, lower_is_better: bool = False
) -> set[str]:
    """Names of the experiments with the best mean to one decimal; none if fewer than two have the metric."""
    means = {name: round(summary[name][metric].mean, 1) for name in names if metric in summary.get(name, {})}
    if len(means) < 2:
        return set()
    best = min(means.values()) if lower_is_better else max(means.values())
    return {name for name, mean in means.items() if mean == best}
