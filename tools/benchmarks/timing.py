"""Clocks, spreads and peaks that the benchmarks share."""

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")


def synchronize() -> None:
    """Wait for the GPU."""
    if DEVICE.type == "cuda":
        torch.cuda.synchronize()


def clock() -> float:
    """Seconds: of the clock on a GPU, of this process's threads on the CPU, where others may run beside it."""
    synchronize()
    return time.perf_counter() if DEVICE.type == "cuda" else time.process_time()


@dataclass
class Times:
    """Milliseconds of the rounds in which something was measured."""

    rounds: list[float]

    @property
    def median(self) -> float:
        """Of the rounds."""
        return statistics.median(self.rounds)

    def over(self, other: "Times") -> dict[str, float]:
        """Ratio to something that was measured in the same rounds: median, smallest and largest."""
        ratios = [ours / theirs for ours, theirs in zip(self.rounds, other.rounds, strict=True)]
        return {
            "median": round(statistics.median(ratios), 3),
            "min": round(min(ratios), 3),
            "max": round(max(ratios), 3),
        }


def in_turn(functions: Mapping[str, Callable[[], Any]], rounds: int) -> dict[str, Times]:
    """Call functions in turn, so that what else a machine does meets all alike; the first round does not count.

    Args:
        functions: Name to what is measured.
        rounds: How many rounds count.
    """
    times: dict[str, list[float]] = {name: [] for name in functions}
    for number in range(rounds + 1):
        for name, function in functions.items():
            began = clock()
            function()
            if number:
                times[name].append(1000 * (clock() - began))
    return {name: Times(values) for name, values in times.items()}


def milliseconds(function: Callable[[], Any], rounds: int) -> float:
    """Median time of a call."""
    return in_turn({"": function}, rounds)[""].median


def gemm_peak(dtype: torch.dtype, rounds: int) -> float:
    """Measured FLOP/s of a large matrix product, the peak that a step is held against."""
    side = 8192 if DEVICE.type == "cuda" else 2048
    a, b = (torch.randn(side, side, device=DEVICE, dtype=dtype) for _ in range(2))
    return 2 * side**3 / (milliseconds(lambda: a @ b, rounds) / 1000)


def peak_memory() -> float:
    """Highest memory use so far in GB: of the GPU if there is one, else of the process."""
    if DEVICE.type == "cuda":
        return torch.cuda.max_memory_allocated() / 1e9
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
