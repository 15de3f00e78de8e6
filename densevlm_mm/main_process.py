"""Work that one process of a run does for all."""

import pickle
from collections.abc import Callable
from typing import Any, TypeVar

from mmengine.dist import broadcast_object_list, get_rank, get_world_size

Result = TypeVar("Result")


def on_main_process(work: Callable[[], Result]) -> Result:
    """Let the main process do something, and hand its result or its error to all processes.

    All have to call it, at the same place. A barrier around the work instead would leave the others waiting when the
    work fails.

    Args:
        work: Called once, on the main process. What it returns has to be picklable.

    Returns:
        What the work returned, on every process; others than the main one get a copy.

    Raises:
        Exception: Whatever the work raised, on every process.
    """
    if get_world_size() == 1:
        return work()
    outcome: list[Any] = [None, None]
    failure: Exception | None = None
    if get_rank() == 0:
        try:
            outcome[0] = work()
        except Exception as error:
            failure = error
            outcome[1] = _portable(error)
    broadcast_object_list(outcome)
    if failure is not None:
        raise failure
    if outcome[1] is not None:
        raise outcome[1]
    return outcome[0]


def _portable(error: Exception) -> Exception:
    """The error itself if another process can read it, else its words."""
    try:
        return pickle.loads(pickle.dumps(error))  # some can be written, but not be read again
    except Exception:
        return RuntimeError(f"{type(error).__name__} on the main process: {error}")
