"""What we expect of the experiments beyond the paper on TinyScenes, set down before they were measured.

All of it is ours. What is required decides whether an addition does what it is for; the rest is reported as it falls.
"""

from report.beyond import CAPTION_WEIGHTS, CORRELATE_WEIGHT, METHODS, PLAIN, VALUE_PATHS, knee_name
from report.orderings import Ordering, ascending

_I2T, _T2I = "image_to_text_r1", "text_to_image_r1"
_RECALLS = {_I2T: "image-to-text R@1", _T2I: "text-to-image R@1"}
_CAPTIONS = f"densevlm_caption{CAPTION_WEIGHTS[-1]:g}"


def _retention(method: str) -> list[Ordering]:
    title, plain, knee = METHODS[method], PLAIN[method], knee_name(method)
    return [
        *(
            Ordering(f"A, {title}, {what}: without < with retention", metric, ascending(plain, knee), is_required=True)
            for metric, what in _RECALLS.items()
        ),
        *(
            Ordering(
                f"A, {title}, {what}: with retention at least 80 % of before",
                metric,
                ascending("before", knee),
                share=0.8,
                may_tie=True,
            )
            for metric, what in _RECALLS.items()
        ),
        Ordering(
            f"A, {title}, dense mean: with retention at most 1.5 below without",
            "dense_mean",
            ascending(plain, knee),
            -1.5,
        ),
        Ordering(
            f"A, {title}, class Top-1: with retention between before and without",
            "class_top1",
            ascending("before", knee, plain),
        ),
        *(
            Ordering(
                f"A, {title}, curve over alpha, {what} at equal dense mean: with retention above without",
                f"curve_above_{metric}",
                ascending(plain, knee),
                is_required=True,
            )
            for metric, what in _RECALLS.items()
        ),
    ]


def _correlation(method: str) -> list[Ordering]:
    title, plain, held = METHODS[method], PLAIN[method], f"{method}_correlate{CORRELATE_WEIGHT:g}"
    return [
        Ordering(
            f"B, {title}, coherence: without < weight {CORRELATE_WEIGHT:g}",
            "coherence",
            ascending(plain, held),
            is_required=True,
        ),
        Ordering(
            f"B, {title}, coherence: weight {CORRELATE_WEIGHT:g} at most 1 (0.01 of AUC) below before",
            "coherence",
            ascending("before", held),
            -1.0,
        ),
        Ordering(f"B, {title}, dense mean: at most 1 below without", "dense_mean", ascending(plain, held), -1.0),
        Ordering(f"B, {title}, dense mean: at most 1 above without", "dense_mean", ascending(held, plain), -1.0),
    ]


BEYOND_EXPECTATIONS = (
    *(ordering for method in METHODS for ordering in _retention(method)),
    *(
        Ordering(f"A, captions, {what}: before < retention and captions", metric, ascending("before", _CAPTIONS))
        for metric, what in _RECALLS.items()
    ),
    Ordering(
        "A, captions, class Top-1: at least that of retention alone",
        "class_top1",
        ascending(knee_name("densevlm"), _CAPTIONS),
        may_tie=True,
    ),
    *(
        Ordering(
            f"A, both sets of the last block, {what}: equal to before",
            metric,
            (("before", "densevlm_branch1"), ("densevlm_branch1", "before")),
            may_tie=True,
            is_required=True,
        )
        for metric, what in _RECALLS.items()
    ),
    Ordering("A, dense mean: last block only < both blocks", "dense_mean", ascending("densevlm_branch1", "row4")),
    *(ordering for method in METHODS for ordering in _correlation(method)),
    *(
        Ordering(
            f"C, {METHODS[method]}, {path.replace('_', ' + ')}, dense mean: before < after training",
            "dense_mean",
            ascending(f"before_{path}", f"{method}_{path}"),
            is_required=True,
        )
        for method in METHODS
        for path in VALUE_PATHS
    ),
    *(
        Ordering(
            f"A + B + C, {METHODS[method]}, {what}: at least 90 % of that of A",
            metric,
            ascending(knee_name(method), f"{method}_beyond"),
            share=0.9,
            may_tie=True,
        )
        for method in METHODS
        for metric, what in _RECALLS.items()
    ),
    *(
        Ordering(
            f"A + B + C, {METHODS[method]}, dense mean: at most 1 below each part alone",
            "dense_mean",
            tuple(
                (part, f"{method}_beyond")
                for part in (knee_name(method), f"{method}_correlate{CORRELATE_WEIGHT:g}", f"{method}_values2")
            ),
            -1.0,
        )
        for method in METHODS
    ),
)
