"""The experiments of the report as data: what is trained, with which teacher, and in which table it stands."""

from report import beyond
from report.experiment import Experiment, Table

TRAIN_ITERATIONS = 300  # of every config below: one epoch of 12,000 images in batches of 40


EXPERIMENTS = (
    Experiment("teacher_raw", "teacher", trains=False, weights="teacher_raw"),
    Experiment("teacher", "teacher", trains=False, weights="teacher"),
    Experiment("before", "densevlm", trains=False, with_retention=True),
    Experiment("clipself", "clipself", teacher="student", with_retention=True, caches_teacher=True, cost=125.0),
    Experiment("crop_features", "crop_features", with_retention=True, cost=180.0),
    Experiment("crop_logits", "crop_logits", with_retention=True, cost=240.0),
    Experiment("row1", "densevlm_row1", with_retention=True, caches_teacher=True),
    Experiment("row2", "densevlm_row2", with_retention=True, caches_teacher=True),
    Experiment("row3", "densevlm_row3", with_retention=True, caches_teacher=True),
    Experiment("row4", "densevlm", with_retention=True, caches_teacher=True),
    Experiment("theta00", "densevlm_theta00"),  # the cache leaves out what theta 0.3 drops
    Experiment("theta05", "densevlm_theta05", caches_teacher=True),
    Experiment("raw_teacher", "densevlm_unrefined_teacher", teacher="teacher_raw"),
    *beyond.EXPERIMENTS,
)
NAMES = tuple(experiment.name for experiment in EXPERIMENTS)

# What pictures and sentences call them.
LABELS = {
    "teacher_raw": "teacher before refinement",
    "teacher": "teacher",
    "before": "student before",
    "clipself": "CLIPSelf",
    "crop_features": "features on crops",
    "crop_logits": "logits on crops",
    "row1": "row 1",
    "row2": "row 2",
    "row3": "row 3",
    "row4": "DenseVLM (row 4)",
    "theta00": "theta 0",
    "theta05": "theta 0.5",
    "raw_teacher": "DenseVLM, raw teacher",
    **beyond.LABELS,
}


TABLES = (
    Table(
        "What the runs start from",
        "The teacher was refined by CLIPSelf, as the paper's was. All seeds share one teacher; each has a student.",
        {
            "teacher_raw": "teacher before refinement",
            "teacher": "teacher, refined",
            "before": "student before training",
        },
        marks_best=False,
    ),
    Table(
        "Table 3: which classes a region is contrasted with",
        "Same teacher, same regions; the softmax of things and of stuff is over different classes.",
        {
            "before": "student before training",
            "row1": "row 1: things against all, stuff against all (no decoupling)",
            "row2": "row 2: things against things, stuff against stuff",
            "row3": "row 3: things against all, stuff against stuff",
            "row4": "row 4: things against things, stuff against all (DenseVLM)",
        },
    ),
    Table(
        "Table 2: where the targets come from, image crops or regions",
        "Image crops that a teacher embeds, or regions of the teacher's dense map (DenseVLM). Features of the larger "
        "teacher are learned through a linear layer: nothing ties the student's own space, which is tested, to texts.",
        {
            "before": "student before training",
            "clipself": "self-distillation of crop features (CLIPSelf)",
            "crop_features": "features of the larger teacher on crops",
            "crop_logits": "logits of the larger teacher on crops, no decoupling",
            "row4": "retrieval from the teacher's dense map (DenseVLM)",
        },
    ),
    Table(
        "Table 12: the confidence above which a region is kept",
        "DenseVLM with three values of theta.",
        {"theta00": "theta = 0 (all regions)", "row4": "theta = 0.3 (DenseVLM)", "theta05": "theta = 0.5"},
    ),
    Table(
        "Ours: an unrefined teacher",
        "DenseVLM with the teacher before and after its refinement by CLIPSelf. The paper compares two refined ones.",
        {"raw_teacher": "teacher before refinement", "row4": "teacher refined (DenseVLM)"},
    ),
)

# Column of a table: metrics of tools/test.py.
COLUMNS = {
    "Boxes Top-1/5": ("boxes_top1", "boxes_top5"),
    "Masks-T Top-1/5": ("masks_t_top1", "masks_t_top5"),
    "Masks-S Top-1/5": ("masks_s_top1", "masks_s_top5"),
    "foreground bias": ("foreground_bias",),
    "things called stuff": ("things_called_stuff",),
    "offset control": ("offset_control",),
}
LOWER_IS_BETTER = frozenset({"foreground_bias", "things_called_stuff"})

# Metrics of tools/analysis_tools/retention.py.
RETENTION_COLUMNS = {
    "class Top-1": ("class_top1",),
    "class Top-5": ("class_top5",),
    "image to text R@1/5": ("image_to_text_r1", "image_to_text_r5"),
    "text to image R@1/5": ("text_to_image_r1", "text_to_image_r5"),
}


def select_experiments(names: list[str] | None) -> tuple[Experiment, ...]:
    """Experiments by name, in the order of the report; all without names.

    Raises:
        KeyError: If there is no experiment of a name.
    """
    unknown = sorted(set(names or ()) - set(NAMES))
    if unknown:
        raise KeyError(f"there is no experiment {unknown[0]!r}; there are: {', '.join(NAMES)}")
    return tuple(experiment for experiment in EXPERIMENTS if not names or experiment.name in names)
