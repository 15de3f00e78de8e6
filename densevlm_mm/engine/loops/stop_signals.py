"""Signals that ask a training run to stop, taken as requests instead of as the end."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

# Slurm announces the end of a job's time with SIGUSR1 (sbatch --signal=USR1@120): it means the same as SIGTERM.
_STATUS = {signal.SIGTERM: 143, signal.SIGINT: 130, signal.SIGUSR1: 143}
# A terminal sends Ctrl-C to all processes of a command, and torchrun sends it to its children once more.
_SAME_KEYSTROKE_SECONDS = 1.0


class StopRequested(SystemExit):
    """A signal asks the run to stop: save the place that was reached and end with 143 (SIGTERM, SIGUSR1) or 130.

    Args:
        number: The signal.
        agreed: Whether the other processes of the run know.
    """

    def __init__(self, number: int, agreed: bool = False) -> None:
        super().__init__(_STATUS.get(signal.Signals(number), 128 + number))
        self.name = signal.Signals(number).name
        self.number, self.agreed = number, agreed


class StopSignals:
    """While it is entered, SIGTERM, SIGINT and SIGUSR1 set :attr:`received`; a second Ctrl-C ends the process at once.

    Nothing is interrupted at a place that could leave half a step behind. Where there is nothing to leave behind, as
    while waiting for data, :meth:`interruptible` lets a signal raise `StopRequested` there. A signal that is ignored
    (``nohup``) stays ignored. Outside the main thread, which alone gets signals, nothing is changed.

    The death of a worker process of a data loader makes torch raise wherever the main thread happens to be
    (torch.utils.data._utils.signal_handling): that too waits until the next batch is asked for.
    """

    def __init__(self) -> None:
        self.received = 0
        self._since = 0.0
        self._interruptible = False
        self._previous: dict[int, Any] = {}
        self._loader_handler: Callable[[int, FrameType | None], Any] | None = None
        self._worker_ended = False

    def __enter__(self) -> "StopSignals":
        """Take the signals over."""
        if threading.current_thread() is threading.main_thread():
            for number in _STATUS:
                if signal.getsignal(number) is not signal.SIG_IGN:
                    self._previous[number] = signal.signal(number, self._receive)
            _taken_over.append(self)
        return self

    def __exit__(self, *_: object) -> None:
        """Give them back."""
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        self._previous = {}
        if self._loader_handler is not None:
            signal.signal(signal.SIGCHLD, self._loader_handler)
            self._loader_handler = None
        if self in _taken_over:
            _taken_over.remove(self)

    def raise_if_received(self) -> None:
        """Stop here if this process has been asked to.

        Raises:
            StopRequested: If so.
        """
        if self.received:
            raise StopRequested(self.received)

    @contextmanager
    def interruptible(self) -> Iterator[None]:
        """Let signals raise `StopRequested` in the block, also one that came before it."""
        self._take_over_workers()
        self._interruptible = True
        try:
            self.raise_if_received()
            if self._worker_ended and self._loader_handler is not None:
                self._worker_ended = False
                self._loader_handler(signal.SIGCHLD, None)
            yield
        finally:
            self._interruptible = False

    def _receive(self, number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if number == self.received == signal.SIGINT and now - self._since > _SAME_KEYSTROKE_SECONDS:
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            os.kill(os.getpid(), signal.SIGINT)
        if not self.received:
            self.received, self._since = number, now
        if self._interruptible:
            raise StopRequested(number)

    def _take_over_workers(self) -> None:
        """Put ourselves before the handler that torch installs with its first loader that has workers."""
        current = signal.getsignal(signal.SIGCHLD)
        if self._previous and callable(current) and current != self._worker_has_ended:
            self._loader_handler = current
            signal.signal(signal.SIGCHLD, self._worker_has_ended)

    def _worker_has_ended(self, number: int, frame: FrameType | None) -> None:
        if self._interruptible and self._loader_handler is not None:
            self._loader_handler(number, frame)
        else:
            self._worker_ended = True


_taken_over: list[StopSignals] = []


def _leave_signals_to_the_parent() -> None:
    """In a forked loader process: Ctrl-C and Slurm's warning, sent to all, are the main process's affair."""
    if _taken_over:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGUSR1, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


os.register_at_fork(after_in_child=_leave_signals_to_the_parent)
