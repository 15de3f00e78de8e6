"""One step of the report, and how it is known that a step need not run again."""

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
from mmengine.config import Config

import densevlm_mm
from densevlm_mm.models.text.checkpoint_digest import checkpoint_digest

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
        inputs: Files whose content counts as input, beside those that the config names.
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
    cost: float = 7.0

    @property
    def log(self) -> Path:
        """Its output."""
        return self.folder.with_name(f"{self.folder.name}.log")

    def record(self) -> dict[str, Any] | None:
        """What was written down when it last finished."""
        try:
            content = json.loads((self.folder / RECORD).read_text(encoding="utf-8"))
        except (FileNotFoundError, NotADirectoryError, json.JSONDecodeError):
            return None  # which only costs running it again
        return content if isinstance(content, dict) else None

    def is_finished(self, fingerprint: str) -> bool:
        """Whether it finished with the same inputs and its files are still there."""
        record = self.record()
        return (
            record is not None
            and record.get("fingerprint") == fingerprint
            and all(path.is_file() for path in self.outputs)
        )

    def prepare(self) -> None:
        """Remove what an earlier or an interrupted run has left."""
        if self.folder.exists():
            shutil.rmtree(self.folder)
        self.folder.mkdir(parents=True)

    def finish(self, fingerprint: str, seconds: float, cpu_seconds: float) -> None:
        """Write down that it finished.

        Raises:
            FileNotFoundError: If a file is missing that it should have written.
        """
        missing = [str(path) for path in self.outputs if not path.is_file()]
        if missing:
            raise FileNotFoundError(
                f"{self.name} ended without an error but did not write {missing[0]}: see {self.log}"
            )
        record = dict(
            fingerprint=fingerprint,
            seconds=seconds,
            cpu_seconds=cpu_seconds,
            source=source_digest(),
            command=self.command,
        )
        (self.folder / RECORD).write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


def fingerprint(task: Task, root: Path, memo_dir: Path) -> str:
    """Hash all that a task's result depends on: command, resolved config, content of files, package versions.

    The source code of this package counts by its version alone, see :func:`source_digest`; images do not count.

    Args:
        task: The task; its input files are there.
        root: Folder that it runs in.
        memo_dir: Where the hashes of large files are remembered.

    Raises:
        FileNotFoundError: If an input is missing.
    """
    cfg = {} if task.config is None else Config.fromfile(str(root / task.config)).to_dict()
    named = (root / value for value in _strings([cfg, list(task.command)]) if value.endswith((".safetensors", ".pth")))
    # Its own outputs and weights that an option replaces may not be there.
    weights = {path for path in named if path.is_file() and path not in task.outputs}
    files = sorted({*weights, *(root / path for path in task.inputs)})
    content = dict(
        command=task.command,
        config=cfg,
        files=[(path.name, checkpoint_digest(path, memo_dir)) for path in files],
        versions=package_versions(),
    )
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()


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
        if "report" not in path.relative_to(folder).parts:
            digest.update(f"{path.relative_to(folder)}\0".encode() + path.read_bytes())
    return digest.hexdigest()[:16]
