"""A report of invented figures; nothing is trained."""

import json
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from report.beyond import METHODS, PLAIN, knee_name
from report.experiments import COLUMNS, EXPERIMENTS, LABELS, RETENTION_COLUMNS
from report.plan import plan_tasks
from report.results import Report, collect
from report.runs import Outcome
from report.segmentation import METRICS as SEGMENTATION
from report.segmentation import ROWS, SEGMENTORS, segmentation_file
from report.settings import Settings, result_file, retention_file, tradeoff_file

METRICS = [key for keys in COLUMNS.values() for key in keys]
RETENTION = [key for keys in RETENTION_COLUMNS.values() for key in keys]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    things = dict(id=0, name="kite", isthing=1), dict(id=1, name="sky", isthing=0), dict(id=2, name="sea", isthing=0)
    content = dict(
        categories=things,
        images=[dict(id=1, file_name="1.jpg")],
        annotations=[dict(image_id=1, segments_info=[dict(category_id=c, area=1) for c in range(3)])],
    )
    path = tmp_path / "world" / "annotations" / "panoptic_val.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(content))
    return Settings(tmp_path, tmp_path / "out", tmp_path / "world", (0, 1), EXPERIMENTS)


@pytest.fixture
def invented() -> Callable[..., Report]:
    """A report in which every task has finished but the lost ones and what needs them, with figures by a formula."""
    return _invented


def _invented(settings: Settings, lost: tuple[str, ...] = ()) -> Report:
    tasks = plan_tasks(settings)
    for task in tasks:
        task.folder.mkdir(parents=True, exist_ok=True)
        for path in task.outputs:
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.suffix == ".png":
                cv2.imwrite(str(path), np.full((4, 4, 3), 200, np.uint8))
            else:
                path.write_text("{}")
        task.write_record(2.0, 3.0)
    for seed in settings.seeds:
        for number, experiment in enumerate(EXPERIMENTS):
            metrics = {key: 10.0 + number + 0.5 * seed for key in METRICS} | dict(coherence_auc=0.01 * number)
            scores = {key: 50.0 + seed for key in [*RETENTION, "class_chance"]}
            for path, content in (
                (result_file(settings, experiment, seed), dict(metrics=metrics)),
                (retention_file(settings, experiment, seed), {experiment.name: scores}),
            ):
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(json.dumps(content))
        titles = [LABELS[name] for method in METHODS for name in (knee_name(method), PLAIN[method])]
        above = [
            dict(figure="text_to_image_r1", curve=titles[0], lies_above=titles[1]),
            dict(figure="image_to_text_r1", curve=titles[0], lies_above=titles[3]),  # of another method: not asked
        ]
        tradeoff_file(settings, seed).write_text(json.dumps(dict(models=dict.fromkeys(titles), lies_above=above)))
    segmented = dict(metrics=dict(zip(SEGMENTATION.values(), (30.0, 31.0, 32.0, 33.0), strict=True)))
    for experiment in (experiment for experiment in EXPERIMENTS if experiment.name in ROWS):
        for segmentor in SEGMENTORS:
            segmentation_file(settings, experiment, settings.seeds[0], segmentor).write_text(json.dumps(segmented))
    for name in ("before", "row4"):
        folder = settings.folder(f"runs/seed0/{name}/test/pictures")
        folder.mkdir(exist_ok=True)
        cv2.imwrite(str(folder / "1.png"), np.zeros((8, 8, 3), np.uint8))
    outcome = Outcome()
    for task in tasks:
        needed = " ".join(name for name in task.after if name in {*outcome.failed, *outcome.skipped})
        if task.name in lost:
            outcome.failed[task.name] = f"{settings.root}/tools/train.py: out of <memory>"
        elif needed:
            outcome.skipped[task.name] = needed
        else:
            outcome.finished.append(task.name)
    return collect(settings, tasks, outcome)
