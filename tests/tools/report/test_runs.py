"""Scheduling with commands that take no time: scripts that write a file."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from report.runs import Outcome, run_tasks
from report.tasks import Task

WRITE = "import pathlib, sys; p = pathlib.Path(sys.argv[1]); p.write_text(p.read_text() + 'x' if p.exists() else 'x')"


def task(root: Path, name: str, *after: str, code: str = WRITE, inputs: tuple[str, ...] = ()) -> Task:
    folder = root / name
    out = folder / "out.txt"
    paths = tuple(Path(path) for path in inputs)
    script = root / f"{name}.py"
    script.write_text(code)
    return Task(name, (str(script), str(out)), folder, (out,), inputs=paths, after=after)


def run(root: Path, *tasks: Task, jobs: int = 2) -> Outcome:
    return run_tasks(tasks, root, root / "memo", jobs)


def test_a_finished_task_is_not_repeated(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    tasks = [task(tmp_path, "a"), task(tmp_path, "b", "a")]
    assert run(tmp_path, *tasks).finished == ["a", "b"]
    again = run(tmp_path, *tasks)
    assert (again.finished, again.reused) == ([], ["a", "b"])
    output = capsys.readouterr().out
    assert "[  2/2] b" in output
    assert "finished before" in output


def test_a_changed_input_repeats_a_task_and_what_reads_its_result(tmp_path: Path) -> None:
    (tmp_path / "weights.safetensors").write_text("1")
    copy = "import pathlib, sys; pathlib.Path(sys.argv[1]).write_text(pathlib.Path('weights.safetensors').read_text())"
    first = task(tmp_path, "a", code=copy, inputs=("weights.safetensors",))
    tasks = [first, task(tmp_path, "b", "a", inputs=("a/out.txt",)), task(tmp_path, "c")]
    assert len(run(tmp_path, *tasks).finished) == 3
    (tmp_path / "weights.safetensors").write_text("2")
    again = run(tmp_path, *tasks)
    assert (again.finished, again.reused) == (["a", "b"], ["c"])
    assert (tmp_path / "b" / "out.txt").read_text() == "x"  # from an empty folder, not on top of the old one


def test_a_failure_stops_only_what_needs_it(tmp_path: Path) -> None:
    broken = task(tmp_path, "a", code="print('no such thing'); raise SystemExit(1)")
    tasks = [broken, task(tmp_path, "b", "a"), task(tmp_path, "c", "b"), task(tmp_path, "d")]
    outcome = run(tmp_path, *tasks)
    assert outcome.finished == ["d"]
    assert outcome.skipped == {"b": "a", "c": "b"}
    assert "no such thing" in outcome.failed["a"]
    again = run(tmp_path, task(tmp_path, "a"), *tasks[1:])
    assert (sorted(again.finished), again.reused) == (["a", "b", "c"], ["d"])


def test_a_failed_task_is_tried_again(tmp_path: Path) -> None:
    (tmp_path / "fails").touch()
    code = f"import pathlib; assert not pathlib.Path('fails').exists()\n{WRITE}"
    assert list(run(tmp_path, task(tmp_path, "a", code=code)).failed) == ["a"]
    (tmp_path / "fails").unlink()
    assert run(tmp_path, task(tmp_path, "a", code=code)).finished == ["a"]


def test_a_task_that_writes_nothing_has_failed(tmp_path: Path) -> None:
    assert "did not write" in run(tmp_path, task(tmp_path, "a", code="pass")).failed["a"]


def test_a_missing_input_is_a_failure(tmp_path: Path) -> None:
    assert "nowhere.json" in run(tmp_path, task(tmp_path, "a", inputs=("nowhere.json",))).failed["a"]


def test_tasks_run_side_by_side_up_to_the_limit(tmp_path: Path) -> None:
    # Each waits for the other one, which works only if both run at once.
    wait = """
import pathlib, sys, time
out = pathlib.Path(sys.argv[1]); out.touch()
other = out.parents[1] / {"a": "b", "b": "a"}[out.parent.name] / "out.txt"
for _ in range(400):
    if other.exists(): break
    time.sleep(0.05)
else: raise SystemExit("alone")
"""
    tasks = [task(tmp_path, name, code=wait) for name in ("a", "b")]
    assert sorted(run(tmp_path, *tasks).finished) == ["a", "b"]
    order = [task(tmp_path, name, code=f"import time; time.sleep(0.1)\n{WRITE}") for name in ("c", "d")]
    assert run(tmp_path, *order, jobs=1).finished == ["c", "d"]


def test_tasks_that_do_not_fit_together_and_no_process_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="do not fit together"):
        run(tmp_path, task(tmp_path, "b", "a"))
    with pytest.raises(ValueError, match="at least one process"):
        run(tmp_path, task(tmp_path, "a"), jobs=0)


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"a": 3}'])
def test_a_damaged_memory_costs_a_rerun_only(tmp_path: Path, damage: str) -> None:
    run(tmp_path, task(tmp_path, "a"))
    (tmp_path / "memo").write_text(damage)
    assert run(tmp_path, task(tmp_path, "a")).finished == ["a"]


def test_an_interruption_stops_what_runs_and_keeps_what_has_finished(tmp_path: Path) -> None:
    script = """
import sys
from pathlib import Path
from report.runs import run_tasks
from report.tasks import Task
root = Path(sys.argv[1])
(root / "a.py").write_text("import pathlib; pathlib.Path('a/out').touch()")
(root / "b.py").write_text("import os, time; print(os.getpid(), flush=True); time.sleep(60)")
tasks = [
    Task("a", (str(root / "a.py"),), root / "a", (root / "a/out",)),
    Task("b", (str(root / "b.py"),), root / "b", (), after=("a",)),
]
print(run_tasks(tasks, root, root / "memo", 2).reused)
"""
    command = (sys.executable, "-c", script, str(tmp_path))
    environment = dict(os.environ, PYTHONPATH=os.pathsep.join(sys.path))
    with subprocess.Popen(command, env=environment, start_new_session=True) as process:
        log = tmp_path / "b.log"
        while not (log.exists() and log.read_text().endswith("\n")):
            assert process.poll() is None
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        assert process.wait() != 0
    with pytest.raises(ProcessLookupError):
        os.kill(int(log.read_text()), 0)
    assert list(json.loads((tmp_path / "memo").read_text())) == ["a"]
