"""Commands of this repository as processes, with their output in a log file.

They are copies of one process that has imported what all of them import, which takes five seconds of CPU time: more
than most commands of the report do besides.
"""

import multiprocessing
import os
import resource
import runpy
import shlex
import signal
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from multiprocessing.connection import Connection
from multiprocessing.connection import wait as wait_for
from pathlib import Path

from densevlm_mm.project_files import project_file

_LOG_END = 25  # lines of a failed command's log that are shown
_running: set["RunningCommand"] = set()
_lock = threading.Lock()  # multiprocessing reads how a process ended whenever another starts, and can do so once
COPIES = multiprocessing.get_context("forkserver")  # processes that have most modules already
COPIES.set_forkserver_preload(["densevlm_mm.apis.command_line"])


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
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_bytes(b"")
        # One thread a process: two processes side by side beat spinning threads on small machines.
        os.environ.setdefault("OMP_NUM_THREADS", "1")
        self._cpu_seconds, sender = COPIES.Pipe(duplex=False)
        script = str(project_file(command[0]))
        how = multiprocessing.get_start_method()
        self._process = COPIES.Process(target=_run, args=(root, (script, *command[1:]), log, how, sender))
        with _lock:
            self._process.start()
        sender.close()
        _running.add(self)

    @property
    def shown(self) -> str:
        """The command as one would type it: in a checkout, or where the package is installed from a wheel."""
        is_here = project_file(self.command[0]) == Path(self.command[0])
        return shlex.join(("python" if is_here else "densevlm", *self.command))

    def poll(self, wait: bool = False) -> int | None:
        """The exit code, or None while it runs; afterwards ``seconds`` and ``cpu_seconds`` are known."""
        if wait:
            wait_for([self._process.sentinel])
        with _lock:
            if self._process.exitcode is not None and self in _running:
                self.seconds = time.monotonic() - self.started
                with suppress(EOFError):  # what a signal has ended says nothing
                    self.cpu_seconds = self._cpu_seconds.recv()
                _running.discard(self)
            return self._process.exitcode

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
        if self.poll() is None:
            self._process.terminate()
            self.poll(wait=True)


def stop_all() -> None:
    """End every command that still runs."""
    for command in list(_running):
        command.stop()


def run_script(command: Sequence[str], folder: Path, out: Path, err: Path, start_method: str) -> None:
    """Do what ``python COMMAND`` does, in a process of `COPIES` that does nothing else.

    Args:
        command: The script and its arguments.
        folder: To run in.
        out: File that the output is added to.
        err: File that errors and the log are added to; may be the same.
        start_method: Of the processes that it starts, as ``multiprocessing`` calls it.
    """
    multiprocessing.set_start_method(start_method, force=True)  # it would be that of this process
    for stream, path in ((sys.stdout, out), (sys.stderr, err)):
        with path.open("a") as file:
            os.dup2(file.fileno(), stream.fileno())
    os.chdir(folder)
    sys.argv[:] = command
    sys.path.insert(0, str(Path(command[0]).parent))
    runpy.run_path(command[0], run_name="__main__")


def _run(root: Path, command: tuple[str, ...], log: Path, start_method: str, cpu_seconds: Connection) -> None:
    """Run a script and send the CPU time that it has taken."""
    try:
        run_script(command, root, log, log, start_method)
    finally:
        # The processes of data loaders, which fetch what nobody will read: their time counts when they have ended.
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # torch would call that an error
        for loader in multiprocessing.active_children():
            loader.kill()
            loader.join()
        usage = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        cpu_seconds.send(sum(used.ru_utime + used.ru_stime for used in usage))
