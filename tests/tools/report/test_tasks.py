from pathlib import Path

import pytest

from report import tasks
from report.tasks import Task, fingerprint


@pytest.fixture
def task(tmp_path: Path) -> Task:
    (tmp_path / "config.py").write_text("_base_ = './base.py'\nlr = 1.0\n")
    (tmp_path / "base.py").write_text("steps = 3\nweights = 'student.safetensors'\n")
    for name in ("student.safetensors", "teacher.safetensors", "labels.json"):
        (tmp_path / name).write_bytes(b"first")
    return Task(
        name="train",
        command=("train.py", "config.py", "--cfg-options", "teacher.checkpoint=teacher.safetensors"),
        folder=tmp_path / "runs" / "train",
        outputs=(tmp_path / "runs" / "train" / "out.pth",),
        config="config.py",
        inputs=(Path("labels.json"),),
    )


def digest(task: Task, root: Path) -> str:
    return fingerprint(task, root, root / "memo")


def test_the_same_inputs_have_the_same_fingerprint(task: Task, tmp_path: Path) -> None:
    assert digest(task, tmp_path) == digest(task, tmp_path)


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
def test_a_changed_input_changes_the_fingerprint(task: Task, tmp_path: Path, file: str, content: str) -> None:
    before = digest(task, tmp_path)
    (tmp_path / file).write_text(content)
    assert digest(task, tmp_path) != before


def test_a_comment_in_a_config_changes_nothing(task: Task, tmp_path: Path) -> None:
    before = digest(task, tmp_path)
    (tmp_path / "config.py").write_text("# Table 3\n_base_ = './base.py'\nlr = 1.0\n")
    assert digest(task, tmp_path) == before


def test_a_package_version_changes_the_fingerprint(task: Task, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = digest(task, tmp_path)
    monkeypatch.setattr(tasks, "version", lambda name: "0.0")
    assert digest(task, tmp_path) != before


def test_a_missing_input_is_named(task: Task, tmp_path: Path) -> None:
    (tmp_path / "labels.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"labels\.json"):
        digest(task, tmp_path)


def test_a_task_is_finished_with_its_files_and_fingerprint(task: Task) -> None:
    assert not task.is_finished("a")
    task.prepare()
    task.outputs[0].touch()
    task.finish("a", 1.0, 1.0)
    assert task.is_finished("a")
    assert not task.is_finished("b")
    task.outputs[0].unlink()
    assert not task.is_finished("a")


def test_what_was_not_written_is_no_success(task: Task) -> None:
    task.prepare()
    with pytest.raises(FileNotFoundError, match=r"did not write .*out\.pth"):
        task.finish("a", 1.0, 1.0)
    assert not task.is_finished("a")


def test_a_damaged_record_costs_a_rerun_only(task: Task) -> None:
    task.prepare()
    (task.folder / "finished.json").write_text('{"finger')
    assert not task.is_finished("a")
    task.prepare()
    assert list(task.folder.iterdir()) == []
