"""Running tasks through doit: in the order of their dependencies, some at a time, and only what is out of date."""

import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from doit.cmd_base import ModuleTaskLoader
from doit.dependency import DatabaseException, JsonDB
from doit.doit_cmd import DoitMain
from doit.exceptions import BaseFail, UnmetDependency
from doit.reporter import ZeroReporter
from doit.task import Task as DoitTask
from tqdm import tqdm

from densevlm_mm.files import write_text
from report.commands import stop_all
from report.tasks import Task


@dataclass
class Outcome:
    """What became of the tasks.

    Args:
        finished: Names of those that ran.
        reused: Names of those that did not have to.
        failed: Name to the reason, with the end of the log.
        skipped: Name of a task to the names of those that it needs and that did not finish.
    """

    finished: list[str] = field(default_factory=list)
    reused: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)

    @property
    def done(self) -> set[str]:
        """Names of the tasks whose results are there."""
        return {*self.finished, *self.reused}


class PersistentDB(JsonDB):
    """doit's record of what ran with which inputs, on the disk after every task and not only at the end."""

    def _load(self) -> dict:
        try:
            content = super()._load()
        except DatabaseException:
            content = None
        is_whole = isinstance(content, dict) and all(isinstance(entry, dict) for entry in content.values())
        return content if is_whole else {}  # which only costs running the tasks again

    def set(self, task_id: str, dependency: str, value: Any) -> None:
        """Store a value; the list of dependencies is the last one of a task."""
        super().set(task_id, dependency, value)
        if dependency == "deps:":
            self.dump()

    def dump(self) -> None:
        """Write the file, whole or not at all."""
        write_text(self.name, self.codec.encode(self._db))


def run_tasks(tasks: Sequence[Task], root: Path, memo: Path, jobs: int = 2) -> Outcome:
    """Run tasks, at most ``jobs`` at a time; a failure stops only what depends on it.

    Args:
        tasks: The tasks.
        root: Folder to run in.
        memo: File in which doit remembers what has finished.
        jobs: Processes side by side.

    Raises:
        ValueError: If ``jobs`` is not positive, or the tasks do not fit together.
    """
    if jobs < 1:
        raise ValueError(f"at least one process must run, not {jobs}")
    outcome, progress = Outcome(), _Progress(tasks, jobs)

    def task_report() -> Iterator[dict[str, Any]]:
        yield from (task.as_doit_task(root) for task in tasks)

    options = {
        "dep_file": str(memo),
        "backend": "persistent",
        "num_process": jobs,
        "par_type": "thread",  # the work is done by the commands' own processes
        "continue": True,
        "reporter": _reporter(outcome, progress),
    }
    memo.parent.mkdir(parents=True, exist_ok=True)
    loader = ModuleTaskLoader({"task_report": task_report, "DOIT_CONFIG": options})
    backend = {"BACKEND": {"persistent": f"{__name__}:{PersistentDB.__name__}"}}
    try:
        status = DoitMain(loader, extra_config=backend).run(["run"])
    finally:
        stop_all()
        progress.close()
    if status not in (0, 1, 2):  # success, failure, error of a task
        raise ValueError("the tasks of the report do not fit together, see above")
    return outcome


def _reporter(outcome: Outcome, progress: "_Progress") -> type[ZeroReporter]:
    """The class of a doit reporter that takes down what becomes of each task."""

    class Reporter(ZeroReporter):
        def add_success(self, task: DoitTask) -> None:
            outcome.finished.append(task.name)
            progress.settle(task.name, "finished", was_run=True)

        def skip_uptodate(self, task: DoitTask) -> None:
            outcome.reused.append(task.name)
            progress.settle(task.name, "finished before")

        def add_failure(self, task: DoitTask, fail: BaseFail) -> None:
            if isinstance(fail, UnmetDependency):
                outcome.skipped[task.name] = fail.message
                progress.settle(task.name, f"not run, it needs {fail.message}")
            else:
                outcome.failed[task.name] = fail.get_msg().strip()
                progress.settle(task.name, f"FAILED: {outcome.failed[task.name].splitlines()[-1]}")

    return Reporter


class _Progress:
    """A bar on a terminal; everywhere a line a task, with the time that is left."""

    def __init__(self, tasks: Sequence[Task], jobs: int) -> None:
        self.jobs = jobs
        self.costs = {task.name: task.cost for task in tasks}  # of what is not settled
        self.total = len(tasks)
        self.started = time.monotonic()
        self.paid = 0.0  # cost of what ran, for the pace
        self.width = max((len(task.name) for task in tasks), default=0)
        self.bar = tqdm(total=self.total, unit="task", disable=not sys.stderr.isatty(), dynamic_ncols=True)

    def settle(self, name: str, what: str, was_run: bool = False) -> None:
        """Count a task."""
        self.paid += self.costs.pop(name) if was_run else 0.0
        self.costs.pop(name, None)
        elapsed = time.monotonic() - self.started
        # Before the first task has ended, costs are taken for seconds.
        pace = elapsed / self.paid if self.paid else 1 / self.jobs
        eta = f"{_duration(sum(self.costs.values()) * pace)} left" if self.costs else "done"
        self.bar.set_postfix_str(eta, refresh=False)
        self.bar.update()
        line = f"[{self.total - len(self.costs):3d}/{self.total}] {name.ljust(self.width)}  {what}"
        self.bar.write(f"{line}  ({eta}, {_duration(elapsed)} so far)", file=sys.stdout)
        sys.stdout.flush()

    def close(self) -> None:
        """Leave the bar."""
        self.bar.close()


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"
