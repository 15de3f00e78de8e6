"""Collecting what is wrong with an annotation file, so that one error says all of it."""

import logging
from collections.abc import Callable, Sequence

import numpy as np
from mmengine.logging import print_log


class Problems:
    """What is wrong with a file.

    Args:
        source: What and where the file is.

    Example:
        >>> problems = Problems("instance annotation file a.json")
        >>> problems.add(boxes[:, 2] < 0, "'bbox' has a negative width", lambda row: f"annotation {ids[row]}")
        >>> problems.raise_if_any()
    """

    def __init__(self, source: str) -> None:
        self.source = source
        self._lines: list[str] = []

    def add(self, wrong: np.ndarray | Sequence[bool], what: str, name: Callable[[int], str], fix: str = "") -> None:
        """Note that records are wrong, if any is.

        Args:
            wrong: (N,) bool, a flag for each record.
            what: What is wrong with them.
            name: Names a record by its position.
            fix: What to do, a sentence without full stop.
        """
        rows = np.flatnonzero(wrong)
        if len(rows):
            share = "" if len(rows) == 1 else f" (the first of {len(rows)})"
            self.note(f"{name(int(rows[0]))}{share}: {what}" + (f". {fix}" if fix else ""))

    def note(self, line: str) -> None:
        """Note something that is wrong, in words."""
        self._lines.append(line)

    @property
    def any(self) -> bool:
        """Whether anything was noted."""
        return bool(self._lines)

    def raise_if_any(self) -> None:
        """End the check.

        Raises:
            ValueError: If anything was noted; says all of it.
        """
        if len(self._lines) == 1:
            raise ValueError(f"{self.source}: {self._lines[0]}")
        if self._lines:
            lines = "\n".join(f"  - {line}" for line in self._lines)
            raise ValueError(f"{self.source} has {len(self._lines)} faults:\n{lines}")


def log_repair(source: str, what: str, level: int = logging.WARNING) -> None:
    """Say what was filled in or left out of a file."""
    print_log(f"{source}: {what}", "current", level)
