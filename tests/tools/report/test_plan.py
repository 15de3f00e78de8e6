import ast
import json
from pathlib import Path

import pytest

from report.beyond import RETENTION_ROWS, knee_name
from report.experiments import EXPERIMENTS, LABELS, NAMES, select_experiments
from report.picture_tasks import example_image
from report.plan import plan_tasks
from report.settings import Settings
from report.tasks import Task
from report.world import STUDENT_ASSET, TEACHER_ASSET

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
    trained = [e.name for e in EXPERIMENTS if e.trains and not e.first_seed_only]
    assert {f"runs/seed{s}/{name}/train" for s in (0, 1) for name in trained} <= set(tasks)
    assert {f"runs/seed{s}/{name}/test" for s in (0, 1) for name in [*trained, "before"]} <= set(tasks)
    assert {"runs/teacher/test", "runs/teacher_raw/test", "clips/student1", "clips/teacher_raw"} <= set(tasks)
    assert "clips/student0" not in tasks
    assert set(NAMES) >= set(trained)


def test_sweeps_run_for_the_first_seed_alone(data: Path) -> None:
    sweep = next(experiment.name for experiment in RETENTION_ROWS if experiment.first_seed_only)
    assert set(plan(data, sweep, seeds=(1, 0))) == {
        *(f"runs/seed1/{sweep}/{name}" for name in ("train", "test", "retention")),
        "clips/student1",
    }


def test_weights_of_losses_and_dense_paths_are_options_of_training_and_test(data: Path) -> None:
    tasks = plan(data, "densevlm_retain100", "clipself_values2_gate", seeds=(0,))
    assert options(tasks["runs/seed0/densevlm_retain100/train"])["model.loss.weights.retain"] == "100"
    for task in ("train", "test", "retention"):
        command = tasks[f"runs/seed0/clipself_values2_gate/{task}"].command
        assert "configs/tiny/values_clipself.py" in command
        assert {"model.encoder.dense_path.layers=2", "model.encoder.dense_path.gate=True"} <= set(command)


def test_trainings_with_one_teacher_share_its_cache_and_captions_are_those_of_the_world(data: Path) -> None:
    tasks = plan(data, "row1", "densevlm_caption1", "theta00")
    for run in ("seed0/row1", "seed1/row1", "seed1/densevlm_caption1"):
        cache = options(tasks[f"runs/{run}/train"])["default_hooks.teacher.cache"]
        assert ast.literal_eval(cache) == dict(path=str(data.parent / "out/teacher_cache"))
    # A cache leaves out what the threshold of 0.3 drops.
    assert "default_hooks.teacher.cache" not in options(tasks["runs/seed0/theta00/train"])
    captions = options(tasks["runs/seed0/densevlm_caption1/train"])["default_hooks.captions.captions"]
    assert captions == str(data / "annotations/captions_train.json")


def test_whole_images_of_a_branch_are_seen_with_its_export(data: Path) -> None:
    tasks = plan(data, "densevlm_branch1", seeds=(0,))
    export, retention = (tasks[f"runs/seed0/densevlm_branch1/{name}"] for name in ("export", "retention"))
    assert "--keep-global" in export.command
    assert retention.after == (export.name,)
    assert f"densevlm_branch1={export.outputs[0]}" in retention.command
    assert not any("unlocked_groups" in argument for argument in retention.command)


def test_curves_compare_a_method_with_and_without_retention(data: Path) -> None:
    names = ("row4", knee_name("densevlm"))
    assert not [name for name in plan(data, "row4", "clipself_beyond") if name.endswith("tradeoff")]
    for seed in (0, 1):
        task = plan(data, *names)[f"runs/seed{seed}/tradeoff"]
        assert set(task.after) == {f"runs/seed{seed}/{name}/train" for name in names}
        for name in names:
            config = "densevlm" if name == "row4" else "retention_densevlm"
            checkpoint = data.parent / f"out/runs/seed{seed}/{name}/train/iter_300.pth"
            assert f"{LABELS[name]}={checkpoint}@configs/tiny/{config}.py" in task.command


def test_segmentors_are_trained_over_what_correlation_distillation_is_compared_with(data: Path) -> None:
    assert not [name for name in plan(data, "before", "row4") if "san" in name]
    tasks = plan(data, "before", "row4", "densevlm_correlate1", seeds=(1, 0))
    segmentors = [name for name in tasks if name.endswith(("san_train", "cat_seg_train"))]
    assert len(segmentors) == 6
    assert all(name.startswith("runs/seed1/") for name in segmentors)
    for segmentor, key in (("san", "model.image_encoder.encoder"), ("cat_seg", "model.image_encoder")):
        train, test = (tasks[f"runs/seed1/row4/{segmentor}_{what}"] for what in ("train", "test"))
        for task in (train, test):
            assert options(task)[f"{key}.checkpoint"] == str(data.parent / "out/runs/seed1/row4/train/iter_300.pth")
        assert train.after == ("runs/seed1/row4/train",)
        assert test.command[2] == str(train.outputs[0])
    text = options(tasks["runs/seed1/before/san_train"])["model.class_embeddings.checkpoint"]
    assert text.endswith(STUDENT1)


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
    assert set(tasks) == {f"runs/seed1/{name}" for name in ("row1/train", "row1/test", "row1/retention")} | {
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
