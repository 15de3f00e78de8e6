"""Commands of this repository as processes, with their output in a log file."""

import os
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from densevlm_mm.project_files import project_file

_LOG_END = 25  # lines of a failed command's log that are shown
_running: set["RunningCommand"] = set()


class CommandError(RuntimeError):
    """A command that ended with an error; the message holds the end of its log."""


class RunningCommand:
    """A started ``python COMMAND``.

    Args:
        root: Folder to run in.
        command: The script and its arguments; ``tools/...`` is looked for in the installed package too.
        log: File for its output; its folder is made.
    """

    def __init__(self, root: Path, command: Sequence[str], log: Path) -> None:
        self.command, self.log = tuple(command), log
        self.started = time.monotonic()
        self.seconds = self.cpu_seconds = 0.0
        self._waiting = threading.Lock()  # a process can be waited for by one thread alone
        log.parent.mkdir(parents=True, exist_ok=True)
        # One thread a process: two processes side by side beat spinning threads on small machines.
        environment = dict(os.environ, OMP_NUM_THREADS=os.environ.get("OMP_NUM_THREADS", "1"))
        with log.open("w") as file:
            self._process = subprocess.Popen(
                (sys.executable, project_file(command[0]), *command[1:]),
                cwd=root,
                stdout=file,
                stderr=subprocess.STDOUT,
                env=environment,
            )
        _running.add(self)

    @property
    def shown(self) -> str:
        """The command as one would type it: in a checkout, or where the package is installed from a wheel."""
        is_here = project_file(self.command[0]) == Path(self.command[0])
        return shlex.join(("python" if is_here else "densevlm", *self.command))

    def poll(self, wait: bool = False) -> int | None:
        """The exit code, or None while it runs; afterwards ``seconds`` and ``cpu_seconds`` are known."""
        with self._waiting:
            if self._process.returncode is None:
                pid, status, usage = os.wait4(self._process.pid, 0 if wait else os.WNOHANG)
                if pid:
                    self._process.returncode = os.waitstatus_to_exitcode(status)
                    self.seconds = time.monotonic() - self.started
                    self.cpu_seconds = usage.ru_utime + usage.ru_stime  # its data loading processes included
                    _running.discard(self)
        return self._process.returncode

    def wait(self) -> None:
        """Wait for the end.

        Raises:
            CommandError: If it ended with an error.
        """
        if self.poll(wait=True) != 0:
            raise CommandError(self.failure())

    def failure(self) -> str:
        """What to say about a failed command."""
        lines = self.log.read_text(errors="replace").splitlines()[-_LOG_END:]
        return "\n".join([*lines, f"failed: {self.shown}", f"the whole log: {self.log}"])

    def stop(self) -> None:
        """End the command if it still runs; its data loading processes notice and end too."""
        if self._process.returncode is None:
            self._process.send_signal(signal.SIGTERM)
            self.poll(wait=True)


def stop_all() -> None:
    """End every command that still runs."""
    for command in list(_running):
        command.stop()
