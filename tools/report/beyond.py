"""The experiments beyond the paper: what region training costs whole images and coherence, and what brings it back.

None of this is the paper's. Names are ``METHOD_PART``: ``densevlm_retain10`` is DenseVLM with image-level retention of
weight 10.
"""

from dataclasses import replace

from report.experiment import Experiment, Table

METHODS = {"densevlm": "DenseVLM", "clipself": "CLIPSelf"}
PLAIN = {"densevlm": "row4", "clipself": "clipself"}  # the same without an addition
RETAIN_WEIGHTS = (1, 10, 30, 100)
CORRELATE_WEIGHTS = (0.1, 1, 10)
CAPTION_WEIGHTS = (0.1, 1)
# What runs for all seeds, the other weights for the first seed alone: of retention the weight of the configs, and the
# knee of the first seed's sweep, the smallest weight that gives 95 % of the image-to-text R@1 of the largest one:
# DenseVLM, weights 0, 1, 10, 30, 100: 3.0, 8.4, 9.2, 11.0, 9.8 (8.8 before training).
CONFIG_WEIGHTS = {"densevlm": 10, "clipself": 1}
KNEES = {"densevlm": 30, "clipself": 1}
CORRELATE_WEIGHT = 1
VALUE_PATHS = {
    "values1": ("model.encoder.dense_path.layers=1",),
    "values2": ("model.encoder.dense_path.layers=2",),
    "values2_gate": ("model.encoder.dense_path.layers=2", "model.encoder.dense_path.gate=True"),
}
PATH_TITLES = {"values1": "values of 1 layer", "values2": "values of 2 layers", "values2_gate": "values of 2, gate"}


def knee_name(method: str) -> str:
    """The experiment of a method with the retention weight of the knee."""
    return f"{method}_retain{KNEES[method]:g}"


def retention_name(method: str) -> str:
    """The experiment of a method with the retention weight of the configs."""
    return f"{method}_retain{CONFIG_WEIGHTS[method]:g}"


def _experiment(
    method: str, part: str, config: str, options: tuple[str, ...] = (), is_sweep: bool = False
) -> Experiment:
    return Experiment(
        f"{method}_{part}",
        config,
        teacher="teacher" if method == "densevlm" else "student",
        with_retention=True,
        options=options,
        first_seed_only=is_sweep,
        caches_teacher=True,
        cost=60.0,
    )


def _weighted(method: str, part: str, weight: float, is_sweep: bool, config: str) -> Experiment:
    return _experiment(method, f"{part}{weight:g}", config, (f"model.loss.weights.{part}={weight:g}",), is_sweep)


RETENTION_ROWS = tuple(
    _weighted(method, "retain", weight, weight not in (KNEES[method], CONFIG_WEIGHTS[method]), f"retention_{method}")
    for method in METHODS
    for weight in RETAIN_WEIGHTS
)
CAPTION_ROWS = tuple(
    replace(
        _weighted("densevlm", "caption", weight, weight != CAPTION_WEIGHTS[-1], "retention_captions"),
        reads_captions=True,
    )
    for weight in CAPTION_WEIGHTS
)
BRANCH_ROWS = (
    replace(_experiment("densevlm", "branch1", "densevlm", ("model.encoder.unlocked_groups=1",)), keeps_global=True),
)
CORRELATION_ROWS = (
    *(
        _weighted(method, "correlate", weight, weight != CORRELATE_WEIGHT, f"correlation_{method}")
        for method in METHODS
        for weight in CORRELATE_WEIGHTS
    ),
    _experiment("densevlm", "correlate_teacher", "correlation_densevlm_teacher", is_sweep=True),
)
VALUE_ROWS = (
    *(
        Experiment(f"before_{path}", "values_densevlm", trains=False, options=options)
        for path, options in VALUE_PATHS.items()
    ),
    *(
        _experiment(method, path, f"values_{method}", options, is_sweep=path != "values2")
        for method in METHODS
        for path, options in VALUE_PATHS.items()
    ),
)
ALL_PARTS_ROWS = tuple(_experiment(method, "beyond", f"beyond_{method}") for method in METHODS)
EXPERIMENTS = (*RETENTION_ROWS, *CAPTION_ROWS, *BRANCH_ROWS, *CORRELATION_ROWS, *VALUE_ROWS, *ALL_PARTS_ROWS)


def _weight_title(name: str, part: str, title: str) -> str:
    method, weight = name.split(f"_{part}")
    return f"{METHODS[method]}, {title} {weight}"


LABELS = {
    **{row.name: _weight_title(row.name, "retain", "retention") for row in RETENTION_ROWS},
    **{row.name: _weight_title(row.name, "caption", "retention and captions") for row in CAPTION_ROWS},
    "densevlm_branch1": "DenseVLM, last block only",
    **{row.name: _weight_title(row.name, "correlate", "correlation") for row in CORRELATION_ROWS[:-1]},
    "densevlm_correlate_teacher": "DenseVLM, correlation 1, tiny teacher",
    **{
        f"{who}_{path}": f"{title}, {PATH_TITLES[path]}"
        for who, title in {"before": "before", **METHODS}.items()
        for path in VALUE_PATHS
    },
    **{row.name: f"{METHODS[row.name.split('_')[0]]}, A + B + C" for row in ALL_PARTS_ROWS},
}


_BEFORE = {"before": "student before training"}
_PLAIN = {PLAIN[method]: title for method, title in METHODS.items()}


def _rows(*groups: tuple[Experiment, ...]) -> dict[str, str]:
    return {row.name: LABELS[row.name] for group in groups for row in group}


def _by_method(rows: tuple[Experiment, ...]) -> dict[str, str]:
    """Rows of each method behind the method without an addition."""
    return {
        name: title
        for method in METHODS
        for name, title in {
            PLAIN[method]: METHODS[method],
            **_rows(tuple(row for row in rows if row.name.startswith(method))),
        }.items()
    }


TABLES = (
    Table(
        "A. Image-level retention",
        "The global embedding of a view is held to the initial student's, by a loss beside the dense one; with "
        "captions (annotations), also to a caption of the image. Last block only: the others stay frozen, so that the "
        "initial last block beside the trained one keeps whole images exactly.",
        {
            **_BEFORE,
            **_by_method(RETENTION_ROWS),
            **_rows(CAPTION_ROWS, BRANCH_ROWS),
        },
        marks_best=False,
    ),
    Table(
        "B. Correlation distillation",
        "The similarities between the positions of an image are held to those of a frozen model: the initial student "
        "or, where it says so, the tiny teacher.",
        {
            **_BEFORE,
            **_by_method(CORRELATION_ROWS),
        },
        marks_best=False,
    ),
    Table(
        "C. Value dense path",
        "The dense map is the last block with its residual (all rows above), or the sum of the attention branches of "
        "the last layers on their value path. The tiny towers have two blocks. A gate changes nothing before training.",
        {
            **_BEFORE,
            **_rows(VALUE_ROWS[:3]),
            **_by_method(VALUE_ROWS),
        },
        marks_best=False,
    ),
    Table("A + B + C", "All three at once.", {**_BEFORE, **_PLAIN, **_rows(ALL_PARTS_ROWS)}, marks_best=False),
)

# Columns of these tables. Dense mean: of Boxes, Masks-T and Masks-S Top-1. Coherence: coherence_auc in percent.
COLUMNS = {
    "dense mean": ("dense_mean",),
    "Boxes": ("boxes_top1",),
    "Masks-T": ("masks_t_top1",),
    "Masks-S": ("masks_s_top1",),
    "foreground bias": ("foreground_bias",),
    "offset control": ("offset_control",),
    "coherence AUC": ("coherence",),
    "class Top-1": ("class_top1",),
    "image to text R@1": ("image_to_text_r1",),
    "text to image R@1": ("text_to_image_r1",),
}
