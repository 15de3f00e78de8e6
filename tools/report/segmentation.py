"""SAN and CAT-Seg over the encoders before and after correlation distillation: what it is to segmentation.

For the first seed alone: a segmentor takes as long as five pretrainings.
"""

from dataclasses import dataclass
from pathlib import Path

from report.beyond import CORRELATE_WEIGHT, LABELS, PLAIN
from report.experiment import Experiment, Table
from report.settings import Settings, checkpoint_file, experiment_folder, world_inputs
from report.tasks import Task, existing_file

_HELD = f"densevlm_correlate{CORRELATE_WEIGHT:g}"
ROWS = {"before": "student before training", PLAIN["densevlm"]: "DenseVLM", _HELD: LABELS[_HELD]}
# Options that make a training of a segmentor take two steps.
_QUICK_STEPS = 2
_QUICK_OPTIONS = (
    f"train_cfg.max_iters={_QUICK_STEPS}",
    f"default_hooks.checkpoint.interval={_QUICK_STEPS}",
    "train_dataloader.batch_size=2",
)


@dataclass(frozen=True)
class Segmentor:
    """A segmentor of ``configs/tiny``.

    Args:
        name: Stem of its config, before ``_original``.
        title: What the page calls it.
        iterations: Of its training.
        encoder: Config key of the image encoder's checkpoint.
        text: Config key of the text encoder's checkpoint.
        cost: About how many CPU seconds its training takes.
    """

    name: str
    title: str
    iterations: int
    encoder: str
    text: str
    cost: float

    @property
    def config(self) -> str:
        """Path of its config."""
        return f"configs/tiny/{self.name}_original.py"


SEGMENTORS = (
    Segmentor(
        name="san",
        title="SAN",
        iterations=700,
        encoder="model.image_encoder.encoder.checkpoint",
        text="model.class_embeddings.checkpoint",
        cost=275,
    ),
    Segmentor(
        name="cat_seg",
        title="CAT-Seg",
        iterations=280,
        encoder="model.image_encoder.checkpoint",
        text="model.text_encoder.checkpoint",
        cost=300,
    ),
)
METRICS = {"mIoU": "mIoU", "unseen": "mIoU_unseen", "things": "mIoU_things", "stuff": "mIoU_stuff"}
COLUMNS = {
    f"{segmentor.title} {title}": (f"{segmentor.name}_{metric}",)
    for segmentor in SEGMENTORS
    for title, metric in METRICS.items()
}
TABLE = Table(
    "B, segmentation",
    "SAN and CAT-Seg trained over the encoder on 24 of the 32 classes and tested on all. One run of each, so a "
    "difference may be that of two runs. SAN's encoder is frozen, CAT-Seg tunes it. Unseen: the 8 classes that "
    "training left out.",
    ROWS,
    marks_best=False,
)


def segmentation_file(settings: Settings, experiment: Experiment, seed: int, segmentor: Segmentor) -> Path:
    """The figures of a segmentor over the encoder of an experiment."""
    return settings.folder(f"{experiment_folder(experiment, seed)}/{segmentor.name}_test") / "test.json"


def segmentation_tasks(settings: Settings) -> list[Task]:
    """Train and test both segmentors over the encoders of `ROWS`; nothing without that of correlation distillation."""
    chosen = {experiment.name: experiment for experiment in settings.experiments}
    if _HELD not in chosen:
        return []
    return [
        task
        for name in ROWS
        if name in chosen
        for segmentor in SEGMENTORS
        for task in _tasks(settings, chosen[name], settings.seeds[0], segmentor)
    ]


def _tasks(settings: Settings, experiment: Experiment, seed: int, segmentor: Segmentor) -> tuple[Task, Task]:
    folder = experiment_folder(experiment, seed)
    train, test = (f"{folder}/{segmentor.name}_{what}" for what in ("train", "test"))
    encoder = checkpoint_file(settings, experiment, seed)
    steps = _QUICK_STEPS if settings.quick else segmentor.iterations
    checkpoint = settings.shown(settings.folder(train) / f"iter_{steps}.pth")
    out = segmentation_file(settings, experiment, seed, segmentor)
    options = [
        f"randomness.seed={seed}",
        f"{segmentor.encoder}={encoder}",
        f"{segmentor.text}={settings.weights('student', seed)}",
        *settings.world_options,
    ]
    training = Task(
        name=train,
        command=(
            *("tools/train.py", segmentor.config, "--no-validate", "--work-dir", str(Path(checkpoint).parent)),
            *("--cfg-options", *options, *(_QUICK_OPTIONS if settings.quick else ())),
        ),
        folder=settings.folder(train),
        outputs=(settings.root / checkpoint,),
        config=segmentor.config,
        inputs=(existing_file(settings.root, encoder), *world_inputs(settings)),
        after=(f"{folder}/train",) if experiment.trains else settings.clip_task(experiment.weights, seed),
        cost=segmentor.cost,
    )
    testing = Task(
        name=test,
        command=(
            *("tools/test.py", segmentor.config, checkpoint, "--work-dir", settings.shown(out.parent)),
            *("--out", settings.shown(out), "--cfg-options", *options),
        ),
        folder=out.parent,
        outputs=(out,),
        config=segmentor.config,
        inputs=(existing_file(settings.root, checkpoint), *world_inputs(settings)),
        after=(train,),
        cost=15,
    )
    return training, testing
