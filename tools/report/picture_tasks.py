"""Tasks that draw the pictures of the first seed with tools/analysis_tools."""

import json
from collections.abc import Sequence
from pathlib import Path

from densevlm_mm.analysis.command_line import file_stem
from report.experiments import LABELS
from report.settings import Settings, checkpoint_file, experiment_folder, result_file, world_inputs
from report.tasks import Task, existing_file

CONFIG = "configs/tiny/densevlm.py"


class Compared:
    """Some experiments of one seed as the tools of tools/analysis_tools get them."""

    def __init__(self, settings: Settings, names: Sequence[str], seed: int) -> None:
        chosen = [experiment for name in names for experiment in settings.experiments if experiment.name == name]
        self.names = [experiment.name for experiment in chosen]
        self.checkpoints = {e.name: checkpoint_file(settings, e, seed) for e in chosen}
        self.tables = {e.name: result_file(settings, e, seed) for e in chosen}
        self.after = tuple(f"{experiment_folder(e, seed)}/test" for e in chosen)
        self.inputs = tuple(existing_file(settings.root, path) for path in self.checkpoints.values())
        self.options = [settings.world_options[-1], f"model.encoder.checkpoint={settings.weights('student', seed)}"]

    def arguments(self) -> list[str]:
        """``NAME=CHECKPOINT`` of each; the teacher has a config of its own."""
        return [
            f"{LABELS[name]}={path}{'@configs/tiny/teacher.py' if name == 'teacher' else ''}"
            for name, path in self.checkpoints.items()
        ]


def picture_tasks(settings: Settings) -> list[Task]:
    """Pictures of the first seed."""
    tasks = []

    def add(tool: str, names: Sequence[str], before: Sequence[str], outputs: Sequence[str], cost: float = 9) -> None:
        compared = Compared(settings, names, settings.seeds[0])
        if len(compared.names) < len(names):
            return  # left out by --only
        folder = settings.folder(f"pictures/{tool}")
        command = [f"tools/analysis_tools/{tool}.py", *before]
        if tool == "per_class_accuracy":
            command += [f"{LABELS[name]}={settings.shown(path)}" for name, path in compared.tables.items()]
            command += ["--out", settings.shown(folder)]
        else:
            command += ["--checkpoints"] if tool in ("similarity_map", "grid_classification") else []
            command += [*compared.arguments(), "--out", settings.shown(folder), "--cfg-options", *compared.options]
        inputs = compared.inputs if tool != "per_class_accuracy" else tuple(compared.tables.values())
        tasks.append(
            Task(
                name=f"pictures/{tool}",
                command=tuple(command),
                folder=folder,
                outputs=tuple(folder / name for name in outputs),
                config=CONFIG,
                inputs=(*inputs, world_inputs(settings)[0]),
                after=compared.after,
                cost=cost,
            )
        )

    image, texts = example_image(settings.root / settings.data)
    path = f"{settings.shown(settings.data)}/val/{image}"
    stem = Path(image).stem
    compared_names = ["before", "row1", "row4"]
    add("foreground_bias", compared_names, [CONFIG], ["foreground_bias.png"], cost=12)
    add("confusion_matrix", ["before", "row4"], [CONFIG], confusion_pictures())
    add("retention", ["before", "clipself", "row1", "row4"], [CONFIG], ["retention.png"], cost=15)
    add("per_class_accuracy", compared_names, [], ["per_class_accuracy.png"])
    single = [*compared_names, "teacher"]
    add(
        "similarity_map",
        single,
        [path, "--texts", *texts, "--centred", "--config", CONFIG],
        [f"{stem}_similarity.png"],
    )
    add("grid_classification", single, [path, "--config", CONFIG, "--grid", "4"], [f"{stem}_grid.png"])
    return tasks


def confusion_pictures() -> list[str]:
    """Names of the confusion matrices' files, before and after."""
    return [f"confusion_matrix_{file_stem(LABELS[name])}.png" for name in ("before", "row4")]


def example_image(data: Path, num_stuff: int = 2) -> tuple[str, list[str]]:
    """The first validation image with a thing and several large stuff regions, and the names of what is in it.

    Args:
        data: TinyScenes.
        num_stuff: How many stuff classes it has to show.

    Returns:
        Name of the file; one thing and ``num_stuff`` stuff classes.

    Raises:
        ValueError: If there is no such image.
    """
    content = json.loads((data / "annotations/panoptic_val.json").read_text(encoding="utf-8"))
    category = {record["id"]: record for record in content["categories"]}
    names = {image["id"]: image["file_name"] for image in content["images"]}
    for annotation in content["annotations"]:
        segments = sorted(annotation["segments_info"], key=lambda segment: -segment["area"])
        kinds: dict[bool, list[str]] = {True: [], False: []}
        for segment in segments:
            record = category[segment["category_id"]]
            kinds[bool(record["isthing"])].append(record["name"])
        stuff = list(dict.fromkeys(kinds[False]))
        if kinds[True] and len(stuff) >= num_stuff:
            return names[annotation["image_id"]], [kinds[True][0], *stuff[:num_stuff]]
    raise ValueError(f"no image of {data}/annotations/panoptic_val.json shows a thing and {num_stuff} stuff classes")
