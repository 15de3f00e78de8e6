"""What the command line of the report says, and where its files lie."""

import os
from dataclasses import dataclass
from pathlib import Path

from report.experiment import Experiment
from report.experiments import TRAIN_ITERATIONS
from report.world import QUICK_STEPS, STUDENT_ASSET, TEACHER_ASSET

WORLD_FILES = tuple(
    f"annotations/{kind}.json" for kind in ("panoptic_val", "captions_val", "instances_train", "captions_train")
)
_DATA_ROOTS = ("train_dataloader.dataset.dataset", "val_dataloader.dataset", "test_dataloader.dataset")


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


def retention_file(settings: Settings, experiment: Experiment, seed: int) -> Path:
    """The figures of an experiment about whole images."""
    return settings.folder(f"{experiment_folder(experiment, seed)}/retention") / "retention.json"


def tradeoff_file(settings: Settings, seed: int) -> Path:
    """The curves of a seed over the weight of the ensemble, without and with retention."""
    return settings.folder(f"runs/seed{seed}/tradeoff") / "tradeoff.json"


def export_file(settings: Settings, experiment: Experiment, seed: int) -> Path:
    """The export of an experiment that keeps the initial blocks for whole images."""
    return settings.folder(f"{experiment_folder(experiment, seed)}/export") / "encoder.safetensors"


def checkpoint_file(settings: Settings, experiment: Experiment, seed: int) -> str:
    """What an experiment evaluates."""
    if not experiment.trains:
        return settings.weights(experiment.weights, seed)
    steps = QUICK_STEPS if settings.quick else TRAIN_ITERATIONS
    return settings.shown(settings.folder(f"{experiment_folder(experiment, seed)}/train") / f"iter_{steps}.pth")


def world_inputs(settings: Settings) -> tuple[Path, ...]:
    """The annotations of TinyScenes."""
    return tuple(Path(os.path.abspath(settings.root / settings.data / name)) for name in WORLD_FILES)
