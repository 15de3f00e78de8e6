"""A report of invented figures; nothing is trained."""

import json
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from report.experiments import COLUMNS, EXPERIMENTS, RETENTION_COLUMNS
from report.plan import Settings, plan_tasks, result_file, retention_file
from report.results import Report, collect
from report.runs import Outcome

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
            metrics = {key: 10.0 + number + 0.5 * seed for key in METRICS}
            result_file(settings, experiment, seed).parent.mkdir(parents=True, exist_ok=True)
            result_file(settings, experiment, seed).write_text(json.dumps(dict(metrics=metrics)))
        scores = {key: 50.0 + seed for key in [*RETENTION, "class_chance"]}
        names = [experiment.name for experiment in EXPERIMENTS if experiment.with_retention]
        retention_file(settings, seed).write_text(json.dumps(dict.fromkeys(names, scores)))
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
