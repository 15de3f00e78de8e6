"""The orderings that the paper reports, compared with what was measured; nothing here knows a result."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from report.experiments import LABELS
from report.statistics import SeedResults, Spread, spread

AGREES, MIXED, DISAGREES, NOT_MEASURED = "agrees", "mixed", "does not agree", "not measured"


@dataclass(frozen=True)
class Ordering:
    """A claim that one experiment is above another in a metric.

    Args:
        title: The claim in words.
        source: Where the paper makes it; empty for a question of our own.
        metric: Of tools/test.py or of tools/analysis_tools/retention.py.
        pairs: Of a lower and a higher experiment; all must hold.
        margin: How many points must lie between them at least.
    """

    title: str
    source: str
    metric: str
    pairs: tuple[tuple[str, str], ...]
    margin: float = 0.0


@dataclass(frozen=True)
class Finding:
    """An ordering and what was measured.

    Args:
        ordering: The claim.
        seeds: Seeds in which all its experiments were measured.
        holds: Whether it holds in each of them.
        holds_on_mean: Whether it holds for the means over these seeds.
        differences: Higher minus lower of each pair, over these seeds.
    """

    ordering: Ordering
    seeds: tuple[int, ...]
    holds: tuple[bool, ...]
    holds_on_mean: bool
    differences: tuple[Spread, ...]

    @property
    def verdict(self) -> str:
        """``agrees``: on the mean and in every seed; ``mixed``: on the mean or in some seeds; else not."""
        if not self.seeds:
            return NOT_MEASURED
        if self.holds_on_mean and all(self.holds):
            return AGREES
        return MIXED if self.holds_on_mean or any(self.holds) else DISAGREES

    @property
    def seeds_text(self) -> str:
        """Such as ``holds in 2 of 3 seeds``."""
        if not self.seeds:
            return NOT_MEASURED
        return f"holds in {sum(self.holds)} of {len(self.holds)} seed{'s' if len(self.holds) > 1 else ''}"

    @property
    def difference_texts(self) -> list[str]:
        """Such as ``row 1 - student before: +41.6 ± 2.0``."""
        return [
            f"{LABELS[high]} − {LABELS[low]}: {difference.text(signed=True)}"
            for (low, high), difference in zip(self.ordering.pairs, self.differences, strict=False)
        ]


def compare(ordering: Ordering, results: SeedResults) -> Finding:
    """Hold an ordering against the figures, seed by seed and on the mean.

    Args:
        ordering: The claim.
        results: What was measured; seeds in which an experiment is missing are left out.
    """
    metric = ordering.metric
    names = {name for pair in ordering.pairs for name in pair}
    seeds = tuple(s for s, found in results.items() if all(metric in found.get(name, {}) for name in names))
    if not seeds:
        return Finding(ordering, (), (), False, ())
    differences = tuple(
        spread(results[seed][high][metric] - results[seed][low][metric] for seed in seeds)
        for low, high in ordering.pairs
    )

    def suffices(difference: float) -> bool:
        return difference >= ordering.margin if ordering.margin else difference > 0

    return Finding(
        ordering,
        seeds,
        tuple(all(suffices(d.values[number]) for d in differences) for number in range(len(seeds))),
        all(suffices(d.mean) for d in differences),
        differences,
    )


def ascending(*names: str) -> tuple[tuple[str, str], ...]:
    """Pairs of neighbours, the lowest first."""
    return tuple(pairwise(names))


def above(best: str, others: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """Pairs of one experiment with those that it is above of."""
    return tuple((other, best) for other in others)


PAPER_ORDERINGS = (
    Ordering("Masks-S: before < row 1 < row 4", "Table 3", "masks_s_top1", ascending("before", "row1", "row4")),
    Ordering(
        "Foreground bias: row 4 < row 1 < before",
        "Table 3",
        "foreground_bias",
        ascending("row4", "row1", "before"),
    ),
    Ordering(
        "Masks-S: rows 2 and 3 at least 10 points below row 1",
        "Table 3",
        "masks_s_top1",
        above("row1", ("row2", "row3")),
        margin=10.0,
    ),
    Ordering("Masks-S: CLIPSelf < DenseVLM", "Table 2", "masks_s_top1", ascending("clipself", "row4")),
    Ordering(
        "Masks-S: DenseVLM above targets from image crops",
        "Table 2",
        "masks_s_top1",
        above("row4", ("clipself", "crop_features", "crop_logits")),
    ),
    Ordering("Boxes: before < row 4", "Table 1", "boxes_top1", ascending("before", "row4")),
    Ordering("Masks-T: before < row 4", "Table 1", "masks_t_top1", ascending("before", "row4")),
    Ordering("Masks-S: theta 0.3 above 0 and 0.5", "Table 12", "masks_s_top1", above("row4", ("theta00", "theta05"))),
    Ordering("Boxes: theta 0.3 above 0 and 0.5", "Table 12", "boxes_top1", above("row4", ("theta00", "theta05"))),
    Ordering(
        "Teacher's Masks-S: raw < refined",
        "Table 5",
        "masks_s_top1",
        ascending("teacher_raw", "teacher"),
    ),
    Ordering(
        "DenseVLM's Masks-S: raw teacher < refined teacher",
        "Table 5",
        "masks_s_top1",
        ascending("raw_teacher", "row4"),
    ),
)

# What the orderings above do not show.
OFFSET_GAIN = Ordering("Offset control: before < row 4", "", "offset_control", ascending("before", "row4"))
OFFSET_DECOUPLING = Ordering("Offset control: row 1 < row 4", "", "offset_control", ascending("row1", "row4"))
CONTROL_ORDERINGS = (
    OFFSET_GAIN,
    OFFSET_DECOUPLING,
    Ordering("Things called stuff: row 4 < before", "", "things_called_stuff", ascending("row4", "before")),
    Ordering("Whole images, class Top-1: before < row 4", "", "class_top1", ascending("before", "row4")),
    Ordering("Image-to-text R@1: before < row 4", "", "image_to_text_r1", ascending("before", "row4")),
    Ordering("Text-to-image R@1: before < row 4", "", "text_to_image_r1", ascending("before", "row4")),
)
