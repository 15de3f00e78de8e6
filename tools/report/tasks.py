"""One step of the report: a command, the files that it reads and those that it writes."""

import hashlib
import json
import platform
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import cv2
from doit.exceptions import TaskFailed
from doit.tools import config_changed
from mmengine.config import Config

import densevlm_mm
from densevlm_mm.files import write_text
from densevlm_mm.project_files import project_file
from report.commands import RunningCommand

# Distributions whose versions the figures may depend on.
PACKAGES = ("torch", "torchvision", "mmengine", "open_clip_torch", "timm", "numpy")
RECORD = "finished.json"


@dataclass(frozen=True)
class Task:
    """A command of this repository that writes files into a folder of its own.

    Args:
        name: Such as ``seed0/row4/train``.
        command: The script and its arguments.
        folder: Where it writes; emptied before it runs. The log lies beside it.
        outputs: Files that it must have written.
        config: Config file that it reads; what it resolves to counts as input.
        inputs: Files whose content counts as input, beside the weights that config and command name.
        after: Names of the tasks that must have finished before.
        cost: About how many CPU seconds it takes, for the time that is left.
    """

    name: str
    command: tuple[str, ...]
    folder: Path
    outputs: tuple[Path, ...]
    config: str | None = None
    inputs: tuple[Path, ...] = ()
    after: tuple[str, ...] = ()
    cost: float = 4.0

    @property
    def log(self) -> Path:
        """Its output."""
        return self.folder.with_name(f"{self.folder.name}.log")

    def record(self) -> dict[str, Any]:
        """What was written down when it last finished: ``command``, ``seconds``, ``cpu_seconds``, ``source``."""
        return json.loads((self.folder / RECORD).read_text(encoding="utf-8"))

    def as_doit_task(self, root: Path) -> dict[str, Any]:
        """Describe the task to doit, which runs it when a file, the config, the command or a version has changed.

        The source code of this package counts by its version alone, see :func:`source_digest`; images do not count.

        Args:
            root: Folder that commands run in.
        """
        cfg = {} if self.config is None else Config.fromfile(existing_file(root, self.config)).to_dict()
        texts = _strings([cfg, list(self.command)])
        named = (existing_file(root, text) for text in texts if text.endswith((".safetensors", ".pth")))
        # Its own outputs and weights that an option replaces may not be there.
        weights = {path for path in named if path.is_file() and path not in self.outputs}
        settings = dict(command=self.command, config=cfg, versions=package_versions())
        return dict(
            basename=self.name,
            actions=[(self.run, [root])],
            io=dict(capture=False),  # its output goes to its log; capturing would catch that of the other threads too
            file_dep=sorted(str(path) for path in {*weights, *(existing_file(root, path) for path in self.inputs)}),
            task_dep=list(self.after),
            targets=[str(path) for path in (*self.outputs, self.folder / RECORD)],
            uptodate=[config_changed(json.dumps(settings, sort_keys=True, default=str))],
        )

    def run(self, root: Path) -> TaskFailed | None:
        """Run the command in an empty folder, and write down that it finished.

        Returns:
            What went wrong, or None.
        """
        if self.folder.exists():
            shutil.rmtree(self.folder)
        self.folder.mkdir(parents=True)
        command = RunningCommand(root, self.command, self.log)
        if command.poll(wait=True) != 0:
            return TaskFailed(command.failure())
        missing = [path for path in self.outputs if not path.is_file()]
        if missing:
            return TaskFailed(f"{self.name} ended without an error but did not write {missing[0]}: see {self.log}")
        self.write_record(command.seconds, command.cpu_seconds)
        return None

    def write_record(self, seconds: float, cpu_seconds: float) -> None:
        """Write down that the task finished, what it took, and with which source code."""
        record = dict(command=self.command, seconds=seconds, cpu_seconds=cpu_seconds, source=source_digest())
        write_text(self.folder / RECORD, json.dumps(record, indent=1) + "\n")


def existing_file(root: Path, path: str | Path) -> Path:
    """A file that commands name: below the folder that they run in or, if it is not there, this project's own."""
    below = root / path
    return project_file(path).absolute() if not below.exists() and project_file(path).exists() else below


def _strings(node: object) -> Iterator[str]:
    if isinstance(node, dict):
        node = list(node.values())
    if isinstance(node, list | tuple):
        for value in node:
            yield from _strings(value)
    elif isinstance(node, str):
        yield from node.split("=")


def package_versions(packages: Iterable[str] = PACKAGES) -> dict[str, str]:
    """Versions of Python, this package and what it computes with."""
    return dict(
        python=platform.python_version(),
        densevlm_mm=densevlm_mm.__version__,
        opencv=cv2.__version__,  # its distribution has several names
        **{name: version(name) for name in packages},
    )


@cache
def source_digest() -> str:
    """Hash of this package's source code, so that the page can say if it changed since a run."""
    folder = Path(densevlm_mm.__file__).parent
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*.py")):
        digest.update(f"{path.relative_to(folder)}\0".encode() + path.read_bytes())
    return digest.hexdigest()[:16]
