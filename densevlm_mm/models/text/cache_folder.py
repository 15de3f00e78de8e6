"""Where class embeddings are kept, and small facts beside them. What is damaged or missing here costs time alone."""

import json
import os
from pathlib import Path
from typing import Any

from mmengine.logging import print_log

from densevlm_mm.files import write_text

ENVIRONMENT_VARIABLE = "DENSEVLM_MM_CACHE"
_UNWRITABLE: set[Path] = set()  # which has been said


def cache_folder(chosen: str | Path | None = None) -> Path:
    """The folder of kept class embeddings, absolute; it need not exist.

    Args:
        chosen: What a config or a caller says. None: ``$DENSEVLM_MM_CACHE/class_embeddings``, or without that variable
            ``~/.cache/densevlm_mm/class_embeddings`` (``$XDG_CACHE_HOME`` in the place of ``~/.cache``, if set).
    """
    if chosen is not None:
        return Path(os.path.abspath(Path(chosen).expanduser()))
    root = os.environ.get(ENVIRONMENT_VARIABLE)
    if not root:
        root = os.path.join(os.environ.get("XDG_CACHE_HOME") or "~/.cache", "densevlm_mm")
    return Path(os.path.abspath(os.path.expanduser(root))) / "class_embeddings"


class Memo:
    """Facts that are remembered from run to run in one JSON file.

    Of two processes that write at once one loses its entry. So does everything when the file is damaged.

    Args:
        path: The file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def get(self, key: str) -> dict[str, Any]:
        """The entry of a key; empty if there is none that could be read."""
        entry = self._read().get(key)
        return entry if isinstance(entry, dict) else {}

    def set(self, key: str, entry: dict[str, Any]) -> None:
        """Remember an entry, if the file can be written."""
        try:
            write_text(self.path, json.dumps({**self._read(), key: entry}, indent=1))
        except OSError as error:
            say_unwritable(self.path.parent, str(error))

    def _read(self) -> dict[str, Any]:
        try:
            memo = json.loads(self.path.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError):
            return {}
        return memo if isinstance(memo, dict) else {}


def say_unwritable(folder: Path, reason: str) -> None:
    """Log, once a process, that nothing can be kept in a folder and what to do about it."""
    if folder in _UNWRITABLE:
        return
    _UNWRITABLE.add(folder)
    print_log(
        f"class embeddings are not kept in {folder}, the next run computes them again: {reason}. Another place: "
        f"cache_dir beside the vocabulary in the config, or the environment variable {ENVIRONMENT_VARIABLE}",
        logger="current",
        level=30,
    )
