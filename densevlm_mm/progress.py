"""How far a long loop is: a bar on a terminal, now and then a line in a log."""

import sys
import time
from collections.abc import Iterable, Iterator, Sized
from datetime import timedelta
from typing import TypeVar

from mmengine.logging import print_log
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

Batch = TypeVar("Batch", bound=Sized)
LOG_INTERVAL = 30.0  # seconds


def track_batches(batches: Iterable[Batch], total: int, what: str) -> Iterator[Batch]:
    """Hand out batches and show how many of their items are done and how long the rest will take.

    On a terminal that is a bar; elsewhere a log line every half a minute, so that what is quickly done says nothing.

    Args:
        batches: What is worked on; every batch knows its length.
        total: Items in all batches.
        what: Names the work and its items, e.g. ``'text of set_316, prompts'``.
    """
    if sys.stderr.isatty():
        yield from _with_bar(batches, total, what)
    else:
        yield from _with_log(batches, total, what)


def _with_bar(batches: Iterable[Batch], total: int, what: str) -> Iterator[Batch]:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=total)
        for batch in batches:
            yield batch
            bar.advance(task, len(batch))


def _with_log(batches: Iterable[Batch], total: int, what: str) -> Iterator[Batch]:
    start = said = time.monotonic()
    done = 0
    for batch in batches:
        yield batch
        done += len(batch)
        now = time.monotonic()
        if now - said >= LOG_INTERVAL and done < total:
            said = now
            left = timedelta(seconds=round((now - start) / done * (total - done)))
            print_log(f"{what}: {done} of {total}, {left} left", logger="current")
