"""Running tasks, some at a time, in the order of their dependencies; what has finished is not repeated."""

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tqdm import tqdm

from densevlm_mm.report.commands import RunningCommand
from densevlm_mm.report.tasks import Task, fingerprint

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
    def num_settled(self) -> int:
        """How many tasks need no more attention."""
        return len(self.finished) + len(self.reused) + len(self.failed) + len(self.skipped)


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
    outcome = Outcome()
    waiting = list(tasks)
    running: dict[str, tuple[Task, str, RunningCommand]] = {}
    with _Progress(tasks, jobs) as progress:
        try:
            while waiting or running:
                for task in list(waiting):
                    lost = next((name for name in task.after if name in {**outcome.failed, **outcome.skipped}), None)
                    if lost is not None:
                        waiting.remove(task)
                        outcome.skipped[task.name] = lost
                        progress.settle(task, outcome, f"not run, it needs {lost}")
                    elif len(running) < jobs and outcome.done.issuperset(task.after):
                        waiting.remove(task)
                        _start(task, root, memo_dir, running, outcome, progress.settle)
                time.sleep(_POLL_SECONDS if running else 0)
                for name, (task, digest, command) in list(running.items()):
                    if command.poll() is not None:
                        del running[name]
                        _settle(task, digest, command, outcome, progress.settle)
        finally:
            for _, _, command in running.values():
                command.stop()
    return outcome


def _check_order(tasks: Sequence[Task]) -> None:
    seen: set[str] = set()
    for task in tasks:
        for name in task.after:
            if name not in seen:
                raise ValueError(f"task {task.name} needs {name}, which does not stand before it")
        seen.add(task.name)


def _start(
    task: Task,
    root: Path,
    memo_dir: Path,
    running: dict[str, tuple[Task, str, RunningCommand]],
    outcome: Outcome,
    settle: Callable[[Task, Outcome, str], None],
) -> None:
    try:
        digest = fingerprint(task, root, memo_dir)
    except FileNotFoundError as error:
        outcome.failed[task.name] = str(error)
        settle(task, outcome, f"FAILED: {error}")
        return
    if task.is_finished(digest):
        outcome.reused.append(task.name)
        settle(task, outcome, "finished before")
        return
    task.prepare()
    running[task.name] = (task, digest, RunningCommand(root, task.command, task.log))


def _settle(
    task: Task, digest: str, command: RunningCommand, outcome: Outcome, settle: Callable[[Task, Outcome, str], None]
) -> None:
    reason = command.failure() if command.poll() != 0 else None
    if reason is None:
        try:
            task.finish(digest, command.seconds, command.cpu_seconds)
        except FileNotFoundError as error:
            reason = str(error)
    if reason is None:
        outcome.finished.append(task.name)
        settle(task, outcome, f"{command.seconds:.0f} s")
    else:
        outcome.failed[task.name] = reason
        settle(task, outcome, f"FAILED, see {task.log}")


class _Progress:
    """A bar on a terminal; everywhere a line a task, with the time that is left."""

    def __init__(self, tasks: Sequence[Task], jobs: int) -> None:
        self.total, self.jobs = len(tasks), jobs
        self.costs = {task.name: task.cost for task in tasks}
        self.started = time.monotonic()
        self.paid = 0.0  # cost of what ran here, for the pace
        self.width = max((len(task.name) for task in tasks), default=0)
        self.bar = tqdm(total=self.total, unit="task", disable=not sys.stderr.isatty(), dynamic_ncols=True)

    def __enter__(self) -> "_Progress":
        return self

    def __exit__(self, *_: object) -> None:
        self.bar.close()

    def settle(self, task: Task, outcome: Outcome, what: str) -> None:
        """Count a task."""
        left = sum(self.costs.values()) - self.costs[task.name]
        self.costs[task.name] = 0.0
        if task.name in outcome.finished:
            self.paid += task.cost
        # Before the first task has ended, the costs are taken for seconds.
        elapsed = time.monotonic() - self.started
        pace = elapsed / self.paid if self.paid else 1 / self.jobs
        eta = f"{_duration(left * pace)} left" if left else "done"
        self.bar.set_postfix_str(eta, refresh=False)
        self.bar.update()
        line = f"[{outcome.num_settled:3d}/{self.total}] {task.name.ljust(self.width)}  {what}"
        self.bar.write(f"{line}  ({eta}, {_duration(elapsed)} so far)", file=sys.stdout)
        sys.stdout.flush()


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"
