"""The pictures of the page, and what to see in them."""

from dataclasses import dataclass

from report import beyond
from report.before_after import stack_before_after
from report.experiments import LABELS
from report.glance import plot_glance
from report.picture_tasks import confusion_pictures
from report.results import Report
from report.settings import Settings, experiment_folder


@dataclass(frozen=True)
class Picture:
    """A picture of the page: its path below the page's folder, what to see in it, and if it is one of two in a row."""

    path: str
    title: str
    caption: str
    is_half: bool = False


def page_pictures(report: Report) -> list[Picture]:
    """The pictures whose experiments ran; those that no tool draws are drawn here.

    Args:
        report: What was measured.

    Returns:
        In the order of the page.
    """
    settings = report.settings
    folder = settings.folder("pictures")
    found = {run.name for run in report.runs}
    pictures = []
    names = [name for name in LABELS if name in report.summary and name not in beyond.LABELS]
    if names:
        plot_glance(report.summary, names, folder / "glance.png")
        pictures.append(
            Picture(
                "pictures/glance.png",
                "The paper's experiments at a glance",
                "A bar is the mean over the seeds, a dot one seed. Compare how Masks-S and the foreground bias differ "
                "with how the offset control does, which a shift between things and stuff cannot change.",
            )
        )
    tests = {
        e.name: f"{experiment_folder(e, settings.seeds[0])}/test"
        for e in settings.experiments
        if e.name in ("before", "row4")
    }
    if len(tests) == 2 and found.issuperset(tests.values()):
        before, after = (settings.folder(name) / "pictures" for name in tests.values())
        stack_before_after(folder / "predictions.png", before, after)
        pictures.append(
            Picture(
                "pictures/predictions.png",
                "The same images before and after DenseVLM",
                "Annotated regions with the class they are taken for. Look at the stuff regions: where an orange thing "
                "name stands before, is there a blue stuff name after? And which things have become stuff?",
            )
        )
    return pictures + [picture for task, picture in _tool_pictures(settings) if task in found]


def _tool_pictures(settings: Settings) -> list[tuple[str, Picture]]:
    """Pictures of tools/analysis_tools with the tasks that draw them."""
    before, after = confusion_pictures()
    folder = settings.folder("pictures")

    def drawn(tool: str, pattern: str) -> str:
        files = sorted((folder / tool).glob(pattern))
        return f"pictures/{tool}/{files[0].name}" if files else ""

    seed = f"Seed {settings.seeds[0]}. "
    return [
        (
            "pictures/foreground_bias",
            Picture(
                drawn("foreground_bias", "*.png"),
                "Which things stuff is taken for",
                seed + "Shares of each stuff class's regions, with the mean confidence. Short bars: little bias.",
            ),
        ),
        (
            "pictures/confusion_matrix",
            Picture(
                f"pictures/confusion_matrix/{before}",
                "Confusions before",
                seed + "Rows are annotated classes. The block at the bottom left is stuff that is called a thing.",
                is_half=True,
            ),
        ),
        (
            "pictures/confusion_matrix",
            Picture(
                f"pictures/confusion_matrix/{after}",
                "Confusions after DenseVLM",
                seed + "Look at the same block again, and at the block at the top right: things called stuff.",
                is_half=True,
            ),
        ),
        (
            "pictures/per_class_accuracy",
            Picture(
                drawn("per_class_accuracy", "*.png"),
                "Accuracy class by class",
                seed + "By masks. Which stuff classes gain, and which things pay for it?",
            ),
        ),
        (
            "pictures/similarity_map",
            Picture(
                drawn("similarity_map", "*_similarity.png"),
                "Where an encoder sees a class",
                seed
                + "Cosine of the dense map with the class's text less its mean over all classes; a row has one scale.",
            ),
        ),
        (
            "pictures/grid_classification",
            Picture(
                drawn("grid_classification", "*_grid.png"),
                "What the cells of an image are taken for",
                seed + "The teacher's panel is what it tells the student; dimmed cells are not above theta.",
            ),
        ),
        (
            "pictures/retention",
            Picture(
                "pictures/retention/retention.png",
                "Whole images, before and after",
                seed + "What each training leaves of zero-shot classes and retrieval.",
            ),
        ),
    ]


def tradeoff_picture(report: Report) -> Picture | None:
    """The curves over alpha of the first seed; None if they were not measured."""
    seed = report.settings.seeds[0]
    name = f"runs/seed{seed}/tradeoff"
    if name not in {run.name for run in report.runs}:
        return None
    return Picture(
        f"{name}/tradeoff.png",
        "Regions against whole images",
        f"Seed {seed}. Each line is one training, a point one weight alpha of its ensemble with the initial model, "
        "from alpha 0 (the initial model) to 1 (the trained weights). Up: better regions; to the right: more of "
        "what CLIP knew of whole images. Two encoders: regions of the trained model, whole images of the initial one.",
    )
