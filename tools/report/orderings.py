"""The orderings that the paper's tables state, our own expectations, and what was measured of both.

Nothing here knows a result. What the paper does not state in a table stands under :data:`OUR_EXPECTATIONS` or
:data:`QUESTIONS`, whoever may think so too.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from report.experiments import LABELS
from report.statistics import SeedResults, Spread, spread

AGREES, MIXED, DISAGREES, NOT_MEASURED = "agrees", "mixed", "does not agree", "not measured"


# An experiment by its name, or a level to compare it with, in percent.
Operand = str | float


@dataclass(frozen=True)
class Ordering:
    """A claim that one experiment is above another, or above or below a level, in a metric.

    Args:
        title: The claim in words.
        metric: Of tools/test.py, of tools/analysis_tools/retention.py or of :mod:`report.results`.
        pairs: Of a lower and a higher experiment; all must hold.
        margin: How many points must lie between them at least; a negative one allows that many the other way.
        share: What the lower one is multiplied with: the higher one must reach this share of it.
        may_tie: Whether equal figures hold.
        is_required: Whether what was built counts as working only if this holds.
        source: The table of the paper that states it; empty for what is ours.
        paper_difference: How many points the paper's table has between them.
    """

    title: str
    metric: str
    pairs: tuple[tuple[Operand, Operand], ...]
    margin: float = 0.0
    source: str = ""
    paper_difference: float | None = None
    share: float = 1.0
    may_tie: bool = False
    is_required: bool = False


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
        share = "" if self.ordering.share == 1 else f"{self.ordering.share:.0%} of "
        return [
            f"{_label(high)} − {share}{_label(low)}: {difference.text(signed=True)}"
            for (low, high), difference in zip(self.ordering.pairs, self.differences, strict=False)
        ]


def _label(operand: Operand) -> str:
    return LABELS[operand] if isinstance(operand, str) else f"{operand:g}"


def compare(ordering: Ordering, results: SeedResults) -> Finding:
    """Hold an ordering against the figures, seed by seed and on the mean.

    Args:
        ordering: The claim.
        results: What was measured; seeds in which an experiment is missing are left out.
    """
    metric = ordering.metric
    names = {operand for pair in ordering.pairs for operand in pair if isinstance(operand, str)}
    seeds = tuple(s for s, found in results.items() if all(metric in found.get(name, {}) for name in names))
    if not seeds:
        return Finding(ordering, (), (), False, ())

    def value(seed: int, operand: Operand) -> float:
        return results[seed][operand][metric] if isinstance(operand, str) else operand

    differences = tuple(
        spread(value(seed, high) - ordering.share * value(seed, low) for seed in seeds) for low, high in ordering.pairs
    )

    def suffices(difference: float) -> bool:
        return difference >= ordering.margin if ordering.margin or ordering.may_tie else difference > 0

    return Finding(
        ordering,
        seeds,
        tuple(all(suffices(d.values[number]) for d in differences) for number in range(len(seeds))),
        all(suffices(d.mean) for d in differences),
        differences,
    )


def ascending(*names: str) -> tuple[tuple[Operand, Operand], ...]:
    """Pairs of neighbours, the lowest first."""
    return tuple(pairwise(names))


def above(best: str, others: Sequence[str]) -> tuple[tuple[Operand, Operand], ...]:
    """Pairs of one experiment with those that it is above of."""
    return tuple((other, best) for other in others)


_BOXES, _MASKS_T, _MASKS_S, _BIAS = "boxes_top1", "masks_t_top1", "masks_s_top1", "foreground_bias"

# What Table 3 (decoupling) states, and by how much.
PAPER_ORDERINGS = (
    Ordering("Masks-S: row 1 < row 4", _MASKS_S, ascending("row1", "row4"), source="Table 3", paper_difference=3.0),
    Ordering("Masks-S: row 2 < row 1", _MASKS_S, ascending("row2", "row1"), source="Table 3", paper_difference=0.6),
    Ordering("Masks-S: row 3 < row 1", _MASKS_S, ascending("row3", "row1"), source="Table 3", paper_difference=1.3),
)

# What a correct implementation should reach on TinyScenes. Ours: the world was made so that the method has an effect.
OUR_EXPECTATIONS = (
    Ordering("Student before: foreground bias at least 55", _BIAS, ((55.0, "before"),)),
    Ordering("Student before: Masks-S at most 35", _MASKS_S, (("before", 35.0),)),
    Ordering("Teacher: Boxes at least 55", _BOXES, ((55.0, "teacher"),)),
    Ordering("Teacher: Masks-S at least 48", _MASKS_S, ((48.0, "teacher"),)),
    Ordering("Masks-S: row 4 at least 35 above before", _MASKS_S, ascending("before", "row4"), 35.0),
    Ordering("Masks-S: row 1 at least 25 above before", _MASKS_S, ascending("before", "row1"), 25.0),
    Ordering("Masks-S: row 4 at least 3 above row 1", _MASKS_S, ascending("row1", "row4"), 3.0),
    Ordering("Masks-S: rows 2 and 3 at least 10 below row 1", _MASKS_S, above("row1", ("row2", "row3")), 10.0),
    Ordering("Masks-S: CLIPSelf at least 7 above before", _MASKS_S, ascending("before", "clipself"), 7.0),
    Ordering("Foreground bias: row 4 at least 50 below before", _BIAS, ascending("row4", "before"), 50.0),
    Ordering("Foreground bias: row 4 at least 5 below row 1", _BIAS, ascending("row4", "row1"), 5.0),
    Ordering("Boxes: row 4 at most 15 below row 1", _BOXES, ascending("row1", "row4"), -15.0),
    Ordering(
        "Offset control: rows 1 and 4 at least 4 above before",
        "offset_control",
        (("before", "row1"), ("before", "row4")),
        4.0,
    ),
)

# What neither shows. Nobody has promised these.
OFFSET_DECOUPLING = Ordering("Offset control: row 1 < row 4", "offset_control", ascending("row1", "row4"))
QUESTIONS = (
    OFFSET_DECOUPLING,
    Ordering("Things called stuff: row 4 < before", "things_called_stuff", ascending("row4", "before")),
    Ordering("Boxes: before < row 4", _BOXES, ascending("before", "row4")),
    Ordering("Masks-T: before < row 4", _MASKS_T, ascending("before", "row4")),
    Ordering(
        "Masks-S: DenseVLM above targets from image crops",
        _MASKS_S,
        above("row4", ("clipself", "crop_features", "crop_logits")),
    ),
    Ordering("Masks-S: theta 0.3 above 0 and 0.5", _MASKS_S, above("row4", ("theta00", "theta05"))),
    Ordering("Boxes: theta 0.3 above 0 and 0.5", _BOXES, above("row4", ("theta00", "theta05"))),
    Ordering("Teacher's Masks-S: before refinement < refined", _MASKS_S, ascending("teacher_raw", "teacher")),
    Ordering("DenseVLM's Masks-S: raw teacher < refined teacher", _MASKS_S, ascending("raw_teacher", "row4")),
    Ordering("Whole images, class Top-1: before < row 4", "class_top1", ascending("before", "row4")),
    Ordering("Image-to-text R@1: before < row 4", "image_to_text_r1", ascending("before", "row4")),
    Ordering("Text-to-image R@1: before < row 4", "text_to_image_r1", ascending("before", "row4")),
)
