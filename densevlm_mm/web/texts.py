"""What the page says, in plain words."""

from collections.abc import Sequence

from densevlm_mm.analysis.grid_classification import GridClassification
from densevlm_mm.inference import Prediction

TITLE = "What a dense CLIP sees"
INTRODUCTION = (
    "A CLIP compares pictures with words. A *dense* one does so at every place of a picture. Pick or upload a "
    "photograph, type words, and see where the encoder finds them. Everything is computed on this machine; nothing is "
    "sent anywhere."
)
THINGS_HELP = "What has a shape and can be counted: boat, sheep, car"
STUFF_HELP = "What fills an area: sky, grass, road"
SIMILARITY = (
    "**How near is each place to each word?** Yellow is nearest, dark blue farthest. The colours of each map span its "
    "own lowest and highest cosine, which stand below it: compare the numbers across words, not the colours. Tap a map "
    "to enlarge it."
)
SEGMENTS = (
    "**Which of the words is nearest?** Every place gets the word that it is most similar to; one of the words wins "
    "everywhere, even if none fits. The numbers are shares of the picture. Point at a name to see it alone."
)
REGION = (
    "**What is this?** Click the photograph: a point, or two opposite corners of a box; or type the numbers. The "
    "percentages are a softmax over the words of the page at temperature 0.01: how sure the encoder is *among these "
    "words*."
)
CELLS = (
    "**Does it take stuff for things?** CLIP often calls the sky a kite, since captions with a sky mention the kite: "
    "foreground bias. Here a grid is laid over the photograph, as in DenseVLM's training, and every cell gets its "
    "nearest word: things in blue, stuff in orange. Cells with a probability of 0.3 or less are dimmed: training "
    "would leave them out."
)
SECOND_CORNER = "Now click the opposite corner."


def heading(names: Sequence[str]) -> str:
    """Say which encoders are looked through, and what their order means."""
    if len(names) == 1:
        return f"One encoder: **{names[0]}**. Start the page with two files to compare an encoder before and after."
    return (
        f"**{names[0]}** and **{names[1]}**, side by side. With the encoder before training as A and after it as B, "
        "the left is “before” and the right “after”."
    )


def say_cells(cells: GridClassification) -> str:
    """Say how many cells are called things, and where it is known, how many of these are stuff."""
    total = len(cells.labels)
    called = f"It calls {int(cells.called_things.sum())} of {total} cells a thing."
    if cells.is_thing is None or cells.is_thing.all() or not cells.is_thing.any():
        return "Type things as well as stuff: the bias is a choice between them."
    mistaken = cells.stuff_called_things
    if cells.is_only_stuff is None or mistaken is None:
        return f"{called} Which of these show only stuff, you have to judge: nobody annotated this photograph."
    known = int(cells.is_only_stuff.sum())
    if not known:
        return f"{called} No cell shows stuff alone."
    share = f"{100 * mistaken.sum() / known:.0f} %"
    return f"{called} Of the {known} cells that show only stuff, {int(mistaken.sum())} ({share}) are called a thing."


def say_region(names: Sequence[str], found: Sequence[Prediction]) -> str:
    """Say what each encoder calls a region."""
    parts = [
        f"{name}: **{each.names[0]}** ({100 * each.scores[0]:.0f} %)" for name, each in zip(names, found, strict=True)
    ]
    return " · ".join(parts)
