"""Running tasks, some at a time, in the order of their dependencies; what has finished is not repeated."""

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tqdm import tqdm

from report.commands import RunningCommand
from report.tasks import Task, fingerprint

_POLL_SECONDS = 0.2


@dataclass
class Outcome:
    """What became of the tasks.

    Args:
        finished: Names of those that ran.
        reused: Names of those that did not have to.
        failed: Name to the reason, with the end of the log.
        skipped: Name of a task to the name of the one that it needs and that did not finish.
    """

    finished: list[str] = field(default_factory=list)
    reused: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)

    @property
    def done(self) -> set[str]:
        """Names of the tasks whose results are there."""
        return {*self.finished, *self.reused}

    @property
    def lost(self) -> set[str]:
        """Names of the tasks whose results will not come."""
        return {*self.failed, *self.skipped}


def run_tasks(tasks: Sequence[Task], root: Path, memo_dir: Path, jobs: int = 2) -> Outcome:
    """Run tasks, at most ``jobs`` at a time; a failure stops only what depends on it.

    Args:
        tasks: In an order in which each stands behind those that it needs.
        root: Folder to run in.
        memo_dir: See :func:`fingerprint`.
        jobs: Processes side by side.

    Raises:
        ValueError: If ``jobs`` is not positive, or a task needs one that does not stand before it.
    """
    if jobs < 1:
        raise ValueError(f"at least one process must run, not {jobs}")
    _check_order(tasks)
    scheduler = _Scheduler(tasks, root, memo_dir, jobs)
    try:
        while scheduler.is_busy:
            scheduler.start_ready()
            scheduler.collect_ended()
    finally:
        scheduler.close()
    return scheduler.outcome


def _check_order(tasks: Sequence[Task]) -> None:
    seen: set[str] = set()
    for task in tasks:
        for name in task.after:
            if name not in seen:
                raise ValueError(f"task {task.name} needs {name}, which does not stand before it")
        seen.add(task.name)


@dataclass
class _Running:
    task: Task
    fingerprint: str
    command: RunningCommand


class _Scheduler:
    """Which tasks wait, which run, and what became of the others."""

    def __init__(self, tasks: Sequence[Task], root: Path, memo_dir: Path, jobs: int) -> None:
        self.root, self.memo_dir, self.jobs = root, memo_dir, jobs
        self.waiting = list(tasks)
        self.running: list[_Running] = []
        self.outcome = Outcome()
        self.progress = _Progress(tasks, jobs)

    @property
    def is_busy(self) -> bool:
        return bool(self.waiting or self.running)

    def start_ready(self) -> None:
        """Start what is ready while there is room; drop what cannot run any more."""
        for task in list(self.waiting):
            lost = next((name for name in task.after if name in self.outcome.lost), None)
            if lost is not None:
                self.waiting.remove(task)
                self.outcome.skipped[task.name] = lost
                self.progress.settle(task, f"not run, it needs {lost}")
            elif len(self.running) < self.jobs and self.outcome.done.issuperset(task.after):
                self.waiting.remove(task)
                self._start(task)

    def _start(self, task: Task) -> None:
        try:
            digest = fingerprint(task, self.root, self.memo_dir)
        except FileNotFoundError as error:
            self._fail(task, str(error))
            return
        if task.is_finished(digest):
            self.outcome.reused.append(task.name)
            self.progress.settle(task, "finished before")
            return
        task.prepare()
        self.running.append(_Running(task, digest, RunningCommand(self.root, task.command, task.log)))

    def collect_ended(self) -> None:
        """Settle the tasks whose command has ended; wait a moment if some still run."""
        if self.running:
            time.sleep(_POLL_SECONDS)
        for running in [r for r in self.running if r.command.poll() is not None]:
            self.running.remove(running)
            task, command = running.task, running.command
            if command.poll() != 0:
                self._fail(task, command.failure())
                continue
            try:
                task.finish(running.fingerprint, command.seconds, command.cpu_seconds)
            except FileNotFoundError as error:
                self._fail(task, str(error))
                continue
            self.outcome.finished.append(task.name)
            self.progress.settle(task, f"{command.seconds:.0f} s", was_run=True)

    def _fail(self, task: Task, reason: str) -> None:
        self.outcome.failed[task.name] = reason
        self.progress.settle(task, f"FAILED: {reason.splitlines()[-1]}")

    def close(self) -> None:
        """Stop what still runs."""
        for running in self.running:
            running.command.stop()
        self.progress.close()


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

    def settle(self, task: Task, what: str, was_run: bool = False) -> None:
        """Count a task."""
        del self.costs[task.name]
        self.paid += task.cost if was_run else 0.0
        elapsed = time.monotonic() - self.started
        # Before the first task has ended, costs are taken for seconds.
        pace = elapsed / self.paid if self.paid else 1 / self.jobs
        eta = f"{_duration(sum(self.costs.values()) * pace)} left" if self.costs else "done"
        self.bar.set_postfix_str(eta, refresh=False)
        self.bar.update()
        line = f"[{self.total - len(self.costs):3d}/{self.total}] {task.name.ljust(self.width)}  {what}"
        self.bar.write(f"{line}  ({eta}, {_duration(elapsed)} so far)", file=sys.stdout)
        sys.stdout.flush()

    def close(self) -> None:
        """Leave the bar."""
        self.bar.close()


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"
