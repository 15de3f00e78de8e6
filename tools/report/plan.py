"""The commands behind the report: worlds, CLIPs, trainings and evaluations as tasks."""

from densevlm_mm.tiny_scenes.clip import STUDENT_NAME, TEACHER_NAME
from report.experiment import Experiment
from report.picture_tasks import picture_tasks
from report.segmentation import segmentation_tasks
from report.settings import WORLD_FILES, Settings, checkpoint_file, experiment_folder, result_file, world_inputs
from report.tasks import Task, existing_file
from report.whole_image_tasks import export_task, retention_task, tradeoff_tasks
from report.world import QUICK_OPTIONS, QUICK_WORLD


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
        if experiment.runs_with(seed, settings.seeds)
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
        if experiment.keeps_global:
            ordered.append(export_task(settings, experiment, seed))
        if experiment.with_retention:
            ordered.append(retention_task(settings, experiment, seed))
    return [*ordered, *segmentation_tasks(settings), *tradeoff_tasks(settings), *picture_tasks(settings)]


def _clip_tasks(settings: Settings, who: str, seed: int) -> list[Task]:
    """Train a CLIP; nothing for the committed ones. The raw teacher is the one that was refined into the asset."""
    path = settings.weights(who, seed)
    model, of_seed, cost = (TEACHER_NAME, 0, 400.0) if who == "teacher_raw" else (STUDENT_NAME, seed, 110.0)
    arguments = (settings.shown(settings.data), path, "--model", model, "--seed", str(of_seed))
    return [
        Task(
            name=name,
            command=("tools/tiny/train_clip.py", *arguments, *(("--steps", "2") if settings.quick else ())),
            folder=settings.folder(name),
            outputs=(settings.root / path,),
            inputs=world_inputs(settings),
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
        *experiment.options,
    ]
    if experiment.caches_teacher:
        cache = dict(path=settings.shown(settings.folder("teacher_cache")))
        options.append(f"default_hooks.teacher.cache={cache}")
    if experiment.reads_captions:
        options.append(f"default_hooks.captions.captions={settings.shown(settings.data / WORLD_FILES[-1])}")
    folder = settings.shown(settings.folder(name))
    return Task(
        name=name,
        command=("tools/train.py", config, "--no-validate", "--work-dir", folder, "--cfg-options", *options),
        folder=settings.folder(name),
        outputs=(settings.root / checkpoint_file(settings, experiment, seed),),
        config=config,
        inputs=world_inputs(settings),
        after=(*settings.clip_task("student", seed), *settings.clip_task(experiment.teacher, seed)),
        cost=experiment.cost,
    )


def _test_task(settings: Settings, experiment: Experiment, seed: int) -> Task:
    name = f"{experiment_folder(experiment, seed)}/test"
    config = f"configs/tiny/{experiment.config}.py"
    checkpoint = checkpoint_file(settings, experiment, seed)
    folder = settings.shown(settings.folder(name))
    flags = ["--work-dir", folder, "--out", f"{folder}/test.json"]
    options = [settings.world_options[-1], *experiment.options]
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
        outputs=(result_file(settings, experiment, seed),),
        config=config,
        inputs=(existing_file(settings.root, checkpoint), *world_inputs(settings)[:1]),
        after=after,
    )
