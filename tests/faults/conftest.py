"""Training runs of the real tools, started in the background and done harm to."""

import os
import re
import resource
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from tests.e2e.conftest import small_data_options, tiny_world  # noqa: F401  (fixtures)

ROOT = Path(__file__).resolve().parents[2]
SAVED = ("state_dict", "optimizer", "param_schedulers")


@dataclass
class Run:
    """A training run that goes on in the background."""

    process: subprocess.Popen
    log_file: Path

    @property
    def log(self) -> str:
        """What it has printed so far."""
        return self.log_file.read_text(errors="replace")

    def wait_for(self, pattern: str, seconds: float = 300) -> None:
        """Wait until it has printed something."""
        until = time.monotonic() + seconds
        while not re.search(pattern, self.log):
            assert self.process.poll() is None, f"ended before {pattern!r}:\n{self.log[-3000:]}"
            assert time.monotonic() < until, f"no {pattern!r} in {seconds} s:\n{self.log[-3000:]}"
            time.sleep(0.05)

    def children(self) -> list[int]:
        """The processes that it has started itself: ranks of torchrun, or workers of loaders."""
        found = subprocess.run(["pgrep", "-P", str(self.process.pid)], capture_output=True, text=True, check=False)
        return sorted(map(int, found.stdout.split()))

    def rank(self, number: int) -> int:
        """The process of a rank."""
        key = f"RANK={number}".encode()
        return next(p for p in self.children() if key in Path(f"/proc/{p}/environ").read_bytes().split(b"\0"))

    def signal_all(self, number: int) -> None:
        """Signal the process and all that it started, as a terminal and Slurm do."""
        os.killpg(self.process.pid, number)

    def end(self, seconds: float = 300) -> int:
        """Wait for the end; return the exit status."""
        return self.process.wait(timeout=seconds)


@pytest.fixture
def train(tmp_path: Path) -> Iterator[Callable[..., Run]]:
    """Start ``tools/train.py`` in a process group of its own."""
    runs: list[Run] = []

    def start(config: str, *arguments: object, options: list[str], processes: int = 1, file_size: int = 0) -> Run:
        command = [sys.executable, "tools/train.py", config, *map(str, arguments)]
        if processes > 1:
            with socket.socket() as free:
                free.bind(("127.0.0.1", 0))
                port = str(free.getsockname()[1])
            launcher = ["-m", "torch.distributed.run", "--nproc_per_node", str(processes), "--master_port", port]
            command[1:1] = launcher
            command += ["--launcher", "pytorch"]
        log_file = tmp_path / f"run_{len(runs)}.log"

        def limit() -> None:
            if file_size:
                resource.setrlimit(resource.RLIMIT_FSIZE, (file_size, file_size))

        with log_file.open("w") as log:
            process = subprocess.Popen(
                [*command, "--cfg-options", *options],
                cwd=ROOT,
                env=dict(os.environ, OMP_NUM_THREADS="1", CUDA_VISIBLE_DEVICES="", PYTHONPATH=str(ROOT)),
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=limit,
            )
        runs.append(Run(process, log_file))
        return runs[-1]

    yield start
    for run in runs:
        if run.process.poll() is None:
            run.signal_all(signal.SIGKILL)
            run.process.wait()


def load(path: Path) -> dict:
    """Read a checkpoint."""
    return torch.load(path, map_location="cpu", weights_only=True)


def numbers(node: object) -> object:
    """What can be compared: a checkpoint's part without its texts."""
    if isinstance(node, dict):
        return {key: numbers(value) for key, value in node.items() if not isinstance(value, str)}
    return [numbers(value) for value in node if not isinstance(value, str)] if isinstance(node, list) else node


def assert_same(one: Path, other: Path) -> None:
    """Weights, optimizer and schedules of two checkpoints are equal to the bit."""
    first, second = load(one), load(other)
    for part in SAVED:
        torch.testing.assert_close(numbers(first[part]), numbers(second[part]), rtol=0, atol=0)
