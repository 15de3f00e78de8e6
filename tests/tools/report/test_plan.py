import json
from pathlib import Path

import pytest

from report.experiments import EXPERIMENTS, NAMES, select_experiments
from report.plan import STUDENT_ASSET, TEACHER_ASSET, Settings, example_image, plan_tasks
from report.tasks import Task

ROOT = Path(__file__).resolve().parents[3]
STUDENT1 = "clips/student1/student1.safetensors"
RAW = "clips/teacher_raw/teacher_raw.safetensors"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    names = ("kite", "plane", "sky", "sea")
    content = dict(
        categories=[dict(id=i, name=name, isthing=int(i < 2)) for i, name in enumerate(names)],
        images=[dict(id=7, file_name="7.jpg"), dict(id=8, file_name="8.jpg")],
        annotations=[
            dict(image_id=7, segments_info=[dict(category_id=c, area=a) for c, a in ((2, 9), (2, 8), (0, 1))]),
            dict(image_id=8, segments_info=[dict(category_id=c, area=a) for c, a in ((2, 5), (3, 9), (0, 1), (1, 2))]),
        ],
    )
    (tmp_path / "world" / "annotations").mkdir(parents=True)
    (tmp_path / "world" / "annotations" / "panoptic_val.json").write_text(json.dumps(content))
    return tmp_path / "world"


def plan(data: Path, *names: str, seeds: tuple[int, ...] = (0, 1)) -> dict[str, Task]:
    settings = Settings(ROOT, data.parent / "out", data, seeds, select_experiments(list(names)))
    tasks = plan_tasks(settings)
    assert len({task.name for task in tasks}) == len(tasks)
    for number, task in enumerate(tasks):
        assert set(task.after) <= {before.name for before in tasks[:number]}
    return {task.name: task for task in tasks}


def options(task: Task) -> dict[str, str]:
    return dict(argument.split("=", 1) for argument in task.command if "=" in argument and "[" not in argument)


def test_every_seed_trains_and_tests_everything(data: Path) -> None:
    tasks = plan(data)
    trained = [e.name for e in EXPERIMENTS if e.trains]
    assert {f"runs/seed{s}/{name}/train" for s in (0, 1) for name in trained} <= set(tasks)
    assert {f"runs/seed{s}/{name}/test" for s in (0, 1) for name in [*trained, "before"]} <= set(tasks)
    assert {"runs/teacher/test", "runs/teacher_raw/test", "clips/student1", "clips/teacher_raw"} <= set(tasks)
    assert "clips/student0" not in tasks
    assert set(NAMES) >= set(trained)


def test_a_seed_is_a_student_and_the_seed_of_its_training(data: Path) -> None:
    tasks = plan(data, "row4", "clipself", "raw_teacher")
    first, second = options(tasks["runs/seed0/row4/train"]), options(tasks["runs/seed1/row4/train"])
    assert (first["randomness.seed"], first["model.encoder.checkpoint"]) == ("0", STUDENT_ASSET)
    assert second["randomness.seed"] == "1"
    assert second["model.encoder.checkpoint"].endswith(STUDENT1)
    assert second["default_hooks.teacher.teacher.checkpoint"] == TEACHER_ASSET
    assert options(tasks["runs/seed1/clipself/train"])["default_hooks.teacher.teacher.checkpoint"].endswith(STUDENT1)
    raw = tasks["runs/seed1/raw_teacher/train"]
    assert options(raw)["default_hooks.teacher.teacher.checkpoint"].endswith(RAW)
    assert set(raw.after) == {"clips/student1", "clips/teacher_raw"}
    assert tasks["clips/student1"].command[-1] == "1"


def test_only_what_is_asked_for_and_what_it_needs(data: Path) -> None:
    tasks = plan(data, "row1", seeds=(1,))
    assert set(tasks) == {f"runs/seed1/{name}" for name in ("row1/train", "row1/test", "retention")} | {
        "clips/student1"
    }


def test_pictures_are_of_the_first_seed(data: Path) -> None:
    tasks = plan(data, "before", "row1", "row4", "teacher", seeds=(2, 0))
    pictures = [task for name, task in tasks.items() if name.startswith("pictures/")]
    assert len(pictures) == 5
    for task in pictures:
        assert all("seed0" not in argument for argument in task.command)
    assert "--show-dir" in tasks["runs/seed2/row4/test"].command
    assert "--show-dir" not in tasks["runs/seed0/row4/test"].command


def test_paths_in_the_repository_are_relative(data: Path) -> None:
    settings = Settings(ROOT, ROOT / "work_dirs/report", Path("data/tiny_scenes"), (0,), EXPERIMENTS)
    assert settings.shown(settings.out) == "work_dirs/report"
    assert settings.shown(settings.data) == "data/tiny_scenes"
    assert settings.shown(data) == str(data)


def test_the_example_shows_a_thing_and_large_stuff(data: Path) -> None:
    assert example_image(data) == ("8.jpg", ["plane", "sea", "sky"])
    with pytest.raises(ValueError, match="3 stuff classes"):
        example_image(data, num_stuff=3)
