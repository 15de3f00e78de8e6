"""The commands behind the report: worlds, CLIPs, trainings, evaluations and pictures as tasks."""

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from densevlm_mm.analysis.command_line import file_stem
from densevlm_mm.tiny_scenes.clip import STUDENT_NAME, TEACHER_NAME
from report.experiments import LABELS, TRAIN_ITERATIONS, Experiment
from report.tasks import Task, existing_file
from report.world import QUICK_OPTIONS, QUICK_STEPS, QUICK_WORLD, STUDENT_ASSET, TEACHER_ASSET

WORLD_FILES = tuple(
    f"annotations/{kind}.json" for kind in ("panoptic_val", "captions_val", "instances_train", "captions_train")
)
_CONFIG = "configs/tiny/densevlm.py"
_DATA_ROOTS = ("train_dataloader.dataset.dataset", "val_dataloader.dataset", "test_dataloader.dataset")
# CPU seconds of the trainings with a teacher on image crops; the others take about 50.
_CROP_COSTS = {"clipself": 95.0, "crop_features": 150.0, "crop_logits": 230.0}


@dataclass(frozen=True)
class Settings:
    """What the command line says.

    Args:
        root: Folder that commands run in.
        out: Folder of the report.
        data: TinyScenes; made if it is not there.
        seeds: One student each; the first one's pictures are drawn.
        experiments: What to run.
        quick: Few steps on a small world: shows that everything runs, the figures mean nothing.
    """

    root: Path
    out: Path
    data: Path
    seeds: tuple[int, ...]
    experiments: tuple[Experiment, ...]
    quick: bool = False

    def shown(self, path: Path) -> str:
        """A path as commands have it: relative to the folder that they run in where it lies in it."""
        absolute = Path(os.path.abspath(self.root / path))  # links are not followed: data/ may be one
        return str(absolute.relative_to(self.root)) if absolute.is_relative_to(self.root) else str(absolute)

    def folder(self, name: str) -> Path:
        """Folder of a task."""
        return self.root / self.out / name

    @property
    def world_options(self) -> list[str]:
        """``--cfg-options`` that say where the world lies."""
        return [f"{loader}.data_root={self.shown(self.data)}" for loader in _DATA_ROOTS]

    def weights(self, who: str, seed: int) -> str:
        """Path of a CLIP: ``'student'`` of a seed, ``'teacher'`` or ``'teacher_raw'``."""
        if who == "teacher":
            return TEACHER_ASSET
        if who == "student" and seed == 0:
            return STUDENT_ASSET
        name = f"student{seed}" if who == "student" else who
        return self.shown(self.folder("clips") / name / f"{name}.safetensors")

    def clip_task(self, who: str, seed: int) -> tuple[str, ...]:
        """Name of the task that makes a CLIP; none for the committed ones."""
        path = self.weights(who, seed)
        return () if path in (STUDENT_ASSET, TEACHER_ASSET) else (f"clips/{Path(path).stem}",)


def experiment_folder(experiment: Experiment, seed: int) -> str:
    """Where the runs of an experiment lie below the report's folder."""
    return f"runs/seed{seed}/{experiment.name}" if experiment.per_seed else f"runs/{experiment.name}"


def result_file(settings: Settings, experiment: Experiment, seed: int) -> Path:
    """The per-class table with the metrics of an experiment."""
    return settings.folder(f"{experiment_folder(experiment, seed)}/test") / "test.json"


def retention_file(settings: Settings, seed: int) -> Path:
    """The figures about whole images of a seed."""
    return settings.folder(f"runs/seed{seed}/retention") / "retention.json"


def checkpoint_file(settings: Settings, experiment: Experiment, seed: int) -> str:
    """What an experiment evaluates."""
    if not experiment.trains:
        return settings.weights(experiment.weights, seed)
    steps = QUICK_STEPS if settings.quick else TRAIN_ITERATIONS
    return settings.shown(settings.folder(f"{experiment_folder(experiment, seed)}/train") / f"iter_{steps}.pth")


def world_task(settings: Settings) -> Task:
    """Generate TinyScenes."""
    return Task(
        name="world",
        command=(
            "tools/dataset_converters/tiny_scenes.py",
            settings.shown(settings.data),
            *(QUICK_WORLD if settings.quick else ()),
        ),
        folder=settings.folder("world"),
        outputs=tuple(settings.root / settings.data / name for name in WORLD_FILES),
        cost=25,
    )


def plan_tasks(settings: Settings) -> list[Task]:
    """All tasks behind the world, in an order in which each stands behind those that it needs."""
    seeds = [
        (experiment, seed)
        for seed in settings.seeds
        for experiment in settings.experiments
        if experiment.per_seed or seed == settings.seeds[0]
    ]
    tasks = {
        task.name: task
        for experiment, seed in seeds
        for who in {experiment.weights, experiment.teacher if experiment.trains else experiment.weights}
        for task in _clip_tasks(settings, who, seed)
    }
    # The longest first, so that no process is left alone with it at the end.
    ordered = sorted(tasks.values(), key=lambda task: -task.cost)
    for experiment, seed in seeds:
        if experiment.trains:
            ordered.append(_train_task(settings, experiment, seed))
        ordered.append(_test_task(settings, experiment, seed))
    ordered += [task for seed in settings.seeds for task in _retention_tasks(settings, seed)]
    return [*ordered, *_picture_tasks(settings)]


def _world_inputs(settings: Settings) -> tuple[Path, ...]:
    return tuple(Path(os.path.abspath(settings.root / settings.data / name)) for name in WORLD_FILES)


def _clip_tasks(settings: Settings, who: str, seed: int) -> list[Task]:
    """Train a CLIP; nothing for the committed ones. The raw teacher is the one that was refined into the asset."""
    path = settings.weights(who, seed)
    model, of_seed, cost = (TEACHER_NAME, 0, 115.0) if who == "teacher_raw" else (STUDENT_NAME, seed, 40.0)
    arguments = (settings.shown(settings.data), path, "--model", model, "--seed", str(of_seed))
    return [
        Task(
            name=name,
            command=("tools/tiny/train_clip.py", *arguments, *(("--steps", "2") if settings.quick else ())),
            folder=settings.folder(name),
            outputs=(settings.root / path,),
            inputs=_world_inputs(settings),
            cost=cost,
        )
        for name in settings.clip_task(who, seed)
    ]


def _train_task(settings: Settings, experiment: Experiment, seed: int) -> Task:
    name = f"{experiment_folder(experiment, seed)}/train"
    config = f"configs/tiny/{experiment.config}.py"
    options = [
        f"randomness.seed={seed}",
        f"model.encoder.checkpoint={settings.weights('student', seed)}",
        f"default_hooks.teacher.teacher.checkpoint={settings.weights(experiment.teacher, seed)}",
        *settings.world_options,
        *(QUICK_OPTIONS if settings.quick else ()),
    ]
    folder = settings.shown(settings.folder(name))
    return Task(
        name=name,
        command=("tools/train.py", config, "--work-dir", folder, "--cfg-options", *options),
        folder=settings.folder(name),
        outputs=(settings.root / checkpoint_file(settings, experiment, seed),),
        config=config,
        inputs=_world_inputs(settings),
        after=(*settings.clip_task("student", seed), *settings.clip_task(experiment.teacher, seed)),
        cost=_CROP_COSTS.get(experiment.name, 50.0),
    )


def _test_task(settings: Settings, experiment: Experiment, seed: int) -> Task:
    name = f"{experiment_folder(experiment, seed)}/test"
    config = f"configs/tiny/{experiment.config}.py"
    checkpoint = checkpoint_file(settings, experiment, seed)
    folder = settings.shown(settings.folder(name))
    flags = ["--work-dir", folder, "--out", f"{folder}/test.json"]
    options = [settings.world_options[-1]]
    after = settings.clip_task(experiment.weights, seed)
    if experiment.per_seed:
        options.append(f"model.encoder.checkpoint={settings.weights('student', seed)}")  # the text tower
    if experiment.trains:
        after = (f"{experiment_folder(experiment, seed)}/train",)
    if experiment.name in ("before", "row4") and seed == settings.seeds[0]:
        flags += ["--show-dir", f"{folder}/pictures"]
        options.append("default_hooks.visualization.max_images=8")
    return Task(
        name=name,
        command=("tools/test.py", config, checkpoint, *flags, "--cfg-options", *options),
        folder=settings.folder(name),
        outputs=(settings.folder(name) / "test.json",),
        config=config,
        inputs=(existing_file(settings.root, checkpoint), *_world_inputs(settings)[:1]),
        after=after,
    )


class _Compared:
    """Some experiments of one seed as the tools of tools/analysis_tools get them."""

    def __init__(self, settings: Settings, names: Sequence[str], seed: int) -> None:
        chosen = [experiment for name in names for experiment in settings.experiments if experiment.name == name]
        self.names = [experiment.name for experiment in chosen]
        self.checkpoints = {e.name: checkpoint_file(settings, e, seed) for e in chosen}
        self.tables = {e.name: result_file(settings, e, seed) for e in chosen}
        self.after = tuple(f"{experiment_folder(e, seed)}/test" for e in chosen)
        self.inputs = tuple(existing_file(settings.root, path) for path in self.checkpoints.values())
        self.options = [settings.world_options[-1], f"model.encoder.checkpoint={settings.weights('student', seed)}"]

    def arguments(self, labels: bool = True) -> list[str]:
        """``NAME=CHECKPOINT`` of each; the teacher has a config of its own."""
        return [
            f"{LABELS[name] if labels else name}={path}{'@configs/tiny/teacher.py' if name == 'teacher' else ''}"
            for name, path in self.checkpoints.items()
        ]


def _retention_tasks(settings: Settings, seed: int) -> list[Task]:
    compared = _Compared(settings, [e.name for e in settings.experiments if e.with_retention], seed)
    if not compared.names:
        return []
    folder = settings.folder(f"runs/seed{seed}/retention")
    flags = ["--out", settings.shown(folder), "--cfg-options", *compared.options]
    return [
        Task(
            name=f"runs/seed{seed}/retention",
            command=("tools/analysis_tools/retention.py", _CONFIG, *compared.arguments(labels=False), *flags),
            folder=folder,
            outputs=(folder / "retention.json", folder / "retention.png"),
            config=_CONFIG,
            inputs=(*compared.inputs, *_world_inputs(settings)[:2]),
            after=compared.after,
            cost=20,
        )
    ]


def _picture_tasks(settings: Settings) -> list[Task]:
    """Pictures of the first seed."""
    tasks = []

    def add(tool: str, names: Sequence[str], before: Sequence[str], outputs: Sequence[str], cost: float = 9) -> None:
        compared = _Compared(settings, names, settings.seeds[0])
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
                config=_CONFIG,
                inputs=(*inputs, _world_inputs(settings)[0]),
                after=compared.after,
                cost=cost,
            )
        )

    image, texts = example_image(settings.root / settings.data)
    path = f"{settings.shown(settings.data)}/val/{image}"
    stem = Path(image).stem
    compared_names = ["before", "row1", "row4"]
    add("foreground_bias", compared_names, [_CONFIG], ["foreground_bias.png"], cost=12)
    add("confusion_matrix", ["before", "row4"], [_CONFIG], confusion_pictures())
    add("per_class_accuracy", compared_names, [], ["per_class_accuracy.png"])
    single = [*compared_names, "teacher"]
    add(
        "similarity_map",
        single,
        [path, "--texts", *texts, "--centred", "--config", _CONFIG],
        [f"{stem}_similarity.png"],
    )
    add("grid_classification", single, [path, "--config", _CONFIG, "--grid", "4"], [f"{stem}_grid.png"])
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
