import pytest

from report.beyond_orderings import BEYOND_EXPECTATIONS
from report.experiments import COLUMNS, LABELS, NAMES, RETENTION_COLUMNS
from report.orderings import (
    AGREES,
    DISAGREES,
    MIXED,
    NOT_MEASURED,
    OUR_EXPECTATIONS,
    PAPER_ORDERINGS,
    QUESTIONS,
    Ordering,
    above,
    ascending,
    compare,
)


def results(*seeds: dict[str, float]) -> dict[int, dict[str, dict[str, float]]]:
    return {seed: {name: {"m": value} for name, value in figures.items()} for seed, figures in enumerate(seeds)}


CHAIN = Ordering("chain", "m", ascending("before", "row1", "row4"))


def test_a_chain_holds_only_if_every_step_rises() -> None:
    finding = compare(CHAIN, results({"before": 1, "row1": 2, "row4": 3}, {"before": 1, "row1": 2, "row4": 1.5}))
    assert finding.holds == (True, False)
    assert finding.seeds_text == "holds in 1 of 2 seeds"


def test_differences_are_those_of_the_seeds() -> None:
    finding = compare(CHAIN, results({"before": 1, "row1": 4, "row4": 9}, {"before": 2, "row1": 9, "row4": 10}))
    steps = [(4 - 1, 9 - 2), (9 - 4, 10 - 9)]
    for difference, (first, second) in zip(finding.differences, steps, strict=True):
        assert difference.mean == pytest.approx((first + second) / 2)
        assert difference.std == pytest.approx(abs(first - second) / 2**0.5)
    assert finding.difference_texts[0].startswith("row 1 − student before: +5.0")


@pytest.mark.parametrize(
    ("second_row4", "verdict", "on_mean"),
    [(3.0, AGREES, True), (1.9, MIXED, True), (-5.0, MIXED, False)],
)
def test_verdict_needs_the_mean_and_every_seed(second_row4: float, verdict: str, on_mean: bool) -> None:
    ordering = Ordering("pair", "m", ascending("before", "row4"))
    finding = compare(ordering, results({"before": 2, "row4": 4}, {"before": 2, "row4": second_row4}))
    assert (finding.verdict, finding.holds_on_mean) == (verdict, on_mean)


def test_a_tie_is_no_agreement() -> None:
    finding = compare(Ordering("pair", "m", ascending("before", "row4")), results({"before": 2, "row4": 2}))
    assert finding.verdict == DISAGREES


def test_margin_is_the_least_distance() -> None:
    ordering = Ordering("far", "m", above("row1", ("row2", "row3")), margin=10)
    assert compare(ordering, results({"row1": 30, "row2": 20, "row3": 5})).verdict == AGREES
    assert compare(ordering, results({"row1": 30, "row2": 20.5, "row3": 5})).verdict == DISAGREES


def test_a_negative_margin_allows_that_many_points_the_other_way() -> None:
    ordering = Ordering("near", "m", ascending("row1", "row4"), margin=-15)
    assert compare(ordering, results({"row1": 50, "row4": 36})).verdict == AGREES
    assert compare(ordering, results({"row1": 50, "row4": 34})).verdict == DISAGREES


def test_a_level_stands_for_an_experiment() -> None:
    floor, ceiling = Ordering("floor", "m", ((55.0, "before"),)), Ordering("ceiling", "m", (("before", 35.0),))
    figures = results({"before": 60}, {"before": 30})
    assert compare(floor, figures).holds == (True, False)
    assert compare(ceiling, figures).holds == (False, True)
    assert compare(ceiling, figures).difference_texts[0].startswith("35 − student before: −10.0")


def test_a_share_is_of_the_lower_one() -> None:
    ordering = Ordering("most", "m", ascending("before", "row4"), share=0.8, may_tie=True)
    finding = compare(ordering, results({"before": 10, "row4": 8}, {"before": 20, "row4": 15}))
    assert finding.holds == (True, False)
    assert finding.difference_texts[0].startswith("DenseVLM (row 4) − 80% of student before: −0.5")


def test_equal_figures_may_be_allowed() -> None:
    both_ways = (("before", "row4"), ("row4", "before"))
    ordering = Ordering("equal", "m", both_ways, may_tie=True)
    assert compare(ordering, results({"before": 2, "row4": 2})).verdict == AGREES
    assert compare(ordering, results({"before": 2, "row4": 2.1})).verdict == DISAGREES


def test_what_is_missing_is_not_measured() -> None:
    assert compare(CHAIN, results({"before": 1, "row1": 2})).verdict == NOT_MEASURED
    finding = compare(CHAIN, results({"before": 1, "row1": 2}, {"before": 1, "row1": 2, "row4": 3}))
    assert (finding.seeds, finding.verdict) == ((1,), AGREES)


def test_orderings_name_known_experiments_and_metrics() -> None:
    assert set(LABELS) == set(NAMES)
    metrics = {key for columns in (COLUMNS, RETENTION_COLUMNS) for keys in columns.values() for key in keys}
    metrics |= {"dense_mean", "coherence", "curve_above_image_to_text_r1", "curve_above_text_to_image_r1"}
    for ordering in (*PAPER_ORDERINGS, *OUR_EXPECTATIONS, *QUESTIONS, *BEYOND_EXPECTATIONS):
        names = {operand for pair in ordering.pairs for operand in pair if isinstance(operand, str)}
        assert names <= set(NAMES)
        assert ordering.metric in metrics


def test_the_paper_states_three_orderings_of_table_3_and_the_rest_is_ours() -> None:
    stated = {o.pairs: (o.source, o.metric, o.paper_difference, o.margin) for o in PAPER_ORDERINGS}
    assert stated == {
        (("row1", "row4"),): ("Table 3", "masks_s_top1", 3.0, 0.0),
        (("row2", "row1"),): ("Table 3", "masks_s_top1", 0.6, 0.0),
        (("row3", "row1"),): ("Table 3", "masks_s_top1", 1.3, 0.0),
    }
    assert not any(o.source or o.paper_difference for o in (*OUR_EXPECTATIONS, *QUESTIONS, *BEYOND_EXPECTATIONS))
