"""What makes a task run again."""

import json
from pathlib import Path

import pytest

from report import tasks
from report.runs import run_tasks
from report.tasks import Task

WRITE = "import pathlib; pathlib.Path('run/out.pth').touch()"


@pytest.fixture
def task(tmp_path: Path) -> Task:
    (tmp_path / "config.py").write_text("_base_ = './base.py'\nlr = 1.0\n")
    (tmp_path / "base.py").write_text("steps = 3\nweights = 'student.safetensors'\n")
    (tmp_path / "write.py").write_text(WRITE)
    for name in ("student.safetensors", "teacher.safetensors", "labels.json"):
        (tmp_path / name).write_text("first")
    return Task(
        name="train",
        command=("write.py", "teacher.checkpoint=teacher.safetensors"),
        folder=tmp_path / "run",
        outputs=(tmp_path / "run" / "out.pth",),
        config="config.py",
        inputs=(Path("labels.json"),),
    )


def was_run(task: Task, root: Path) -> bool:
    outcome = run_tasks([task], root, root / "memo")
    assert not outcome.failed
    return outcome.finished == ["train"]


def test_nothing_changed(task: Task, tmp_path: Path) -> None:
    assert was_run(task, tmp_path)
    assert not was_run(task, tmp_path)


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("config.py", "_base_ = './base.py'\nlr = 2.0\n"),
        ("base.py", "steps = 4\nweights = 'student.safetensors'\n"),
        ("student.safetensors", "second"),
        ("teacher.safetensors", "second"),
        ("labels.json", "second"),
    ],
)
def test_a_changed_input_runs_it_again(task: Task, tmp_path: Path, file: str, content: str) -> None:
    assert was_run(task, tmp_path)
    (tmp_path / file).write_text(content)
    assert was_run(task, tmp_path)
    assert not was_run(task, tmp_path)


def test_a_comment_in_a_config_changes_nothing(task: Task, tmp_path: Path) -> None:
    assert was_run(task, tmp_path)
    (tmp_path / "config.py").write_text("# Table 3\n_base_ = './base.py'\nlr = 1.0\n")
    assert not was_run(task, tmp_path)


def test_a_package_version_runs_it_again(task: Task, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert was_run(task, tmp_path)
    monkeypatch.setattr(tasks, "version", lambda name: "0.0")
    assert was_run(task, tmp_path)


@pytest.mark.parametrize("file", ["out.pth", "finished.json"])
def test_a_missing_result_runs_it_again(task: Task, tmp_path: Path, file: str) -> None:
    assert was_run(task, tmp_path)
    (tmp_path / "run" / file).unlink()
    assert was_run(task, tmp_path)


def test_the_record_says_what_was_run_and_what_it_took(task: Task, tmp_path: Path) -> None:
    assert was_run(task, tmp_path)
    record = json.loads((tmp_path / "run" / "finished.json").read_text())
    assert record == task.record()
    assert record["command"] == list(task.command)
    assert record["cpu_seconds"] > 0
