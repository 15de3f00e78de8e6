"""Tasks about whole images: what training leaves of them, and the trade-off with regions."""

from report.beyond import METHODS, PLAIN, knee_name
from report.experiment import Experiment
from report.experiments import LABELS
from report.settings import (
    Settings,
    checkpoint_file,
    experiment_folder,
    export_file,
    retention_file,
    tradeoff_file,
    world_inputs,
)
from report.tasks import Task, existing_file

_ALPHAS = "0:1:0.1"


def export_task(settings: Settings, experiment: Experiment, seed: int) -> Task:
    """Export the trained last blocks beside the initial ones."""
    name = f"{experiment_folder(experiment, seed)}/export"
    checkpoint = checkpoint_file(settings, experiment, seed)
    out = export_file(settings, experiment, seed)
    return Task(
        name=name,
        command=("tools/export_encoder.py", checkpoint, settings.shown(out), "--keep-global"),
        folder=out.parent,
        outputs=(out,),
        inputs=(existing_file(settings.root, checkpoint),),
        after=(f"{experiment_folder(experiment, seed)}/train",),
    )


def retention_task(settings: Settings, experiment: Experiment, seed: int) -> Task:
    """Zero-shot classes and retrieval of an experiment."""
    out = retention_file(settings, experiment, seed)
    config = f"configs/tiny/{experiment.config}.py"
    checkpoint, after = checkpoint_file(settings, experiment, seed), settings.clip_task(experiment.weights, seed)
    if experiment.keeps_global:
        checkpoint, after = (
            settings.shown(export_file(settings, experiment, seed)),
            (f"{experiment_folder(experiment, seed)}/export",),
        )
    elif experiment.trains:
        after = (f"{experiment_folder(experiment, seed)}/train",)
    options = _student_options(settings, seed)
    if not experiment.keeps_global:  # what trains is of no meaning for an export
        options += experiment.options
    return Task(
        name=f"{experiment_folder(experiment, seed)}/retention",
        command=(
            *("tools/analysis_tools/retention.py", config, f"{experiment.name}={checkpoint}"),
            *("--out", settings.shown(out.parent), "--cfg-options", *options),
        ),
        folder=out.parent,
        outputs=(out,),
        config=config,
        inputs=(existing_file(settings.root, checkpoint), *world_inputs(settings)[:2]),
        after=after,
        cost=2,
    )


def tradeoff_tasks(settings: Settings) -> list[Task]:
    """Curves over alpha of each method without retention and with the knee's weight, seed by seed."""
    chosen = {experiment.name: experiment for experiment in settings.experiments}
    names = [name for method in METHODS for name in (PLAIN[method], knee_name(method)) if name in chosen]
    if len(names) < 2:
        return []
    tasks = []
    for seed in settings.seeds:
        out = tradeoff_file(settings, seed)
        checkpoints = {name: checkpoint_file(settings, chosen[name], seed) for name in names}
        sources = [f"{LABELS[name]}={path}@configs/tiny/{chosen[name].config}.py" for name, path in checkpoints.items()]
        tasks.append(
            Task(
                name=f"runs/seed{seed}/tradeoff",
                command=(
                    *("tools/analysis_tools/tradeoff.py", "configs/tiny/densevlm.py", *sources),
                    *("--alphas", "0,0.9,1" if settings.quick else _ALPHAS),
                    *("--out", settings.shown(out.parent), "--cfg-options", *_student_options(settings, seed)),
                ),
                folder=out.parent,
                outputs=(out, out.with_suffix(".png")),
                config="configs/tiny/densevlm.py",
                inputs=(
                    *(existing_file(settings.root, path) for path in checkpoints.values()),
                    *world_inputs(settings)[:2],
                ),
                after=tuple(f"{experiment_folder(chosen[name], seed)}/train" for name in names),
                cost=75,
            )
        )
    return tasks


def _student_options(settings: Settings, seed: int) -> list[str]:
    """Where the images lie and whose text tower it is."""
    return [settings.world_options[-1], f"model.encoder.checkpoint={settings.weights('student', seed)}"]
