"""Images that cannot be read: an error, or left out and counted."""

import atexit
import logging
import os
import secrets
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
from mmengine.logging import print_log

from densevlm_mm.datasets.image_files import UnreadableImageError


class SkippedImages:
    """The indices of the images that were left out, by any worker of a process and each once.

    Args:
        max_skipped: How many are tolerated.
    """

    def __init__(self, max_skipped: int) -> None:
        self.max_skipped = max_skipped
        # A file that all workers append to: no lock, and no memory for the images that can be read.
        self._file = Path(tempfile.gettempdir()) / f"densevlm_mm_skipped_{secrets.token_hex(8)}"
        atexit.register(self._file.unlink, missing_ok=True)

    def indices(self) -> list[int]:
        """Return the indices in ascending order."""
        return np.unique(np.fromfile(self._file, dtype="<i8")).tolist() if self._file.exists() else []

    def note(self, index: int, error: Exception) -> None:
        """Count an image and log why.

        Args:
            index: Of the image.
            error: What reading it has met.

        Raises:
            ValueError: If there are more than `max_skipped`.
        """
        known = self.indices()
        if index in known:
            return
        descriptor = os.open(self._file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            os.write(descriptor, np.array(index, dtype="<i8").tobytes())
        finally:
            os.close(descriptor)
        total = len(known) + 1
        print_log(f"skipped image {total} (of at most {self.max_skipped}): {error}", "current", logging.WARNING)
        if total > self.max_skipped:
            raise ValueError(
                f"{total} unreadable images, more than max_skipped={self.max_skipped}; the last: {error}. Repair "
                "the data, or raise max_skipped."
            ) from error


class UnreadableImagePolicy:
    """Mixin of data sets of images without annotations: what becomes of an image that cannot be read.

    With ``on_error='raise'`` it is an error. With ``'skip'`` it is left out of its batch: the sample is ``None``, no
    other image takes its place, and the data loader needs ``collate_fn=dict(type='skip_none_collate')``. Each such
    image is logged and counted once, over all workers of a process; more than ``max_skipped`` in a process is an error.
    """

    pipeline: Callable[[dict], Any]
    get_data_info: Callable[[int], dict]

    def set_policy(self, on_error: Literal["raise", "skip"], max_skipped: int) -> None:
        """Choose the policy.

        Raises:
            ValueError: If `on_error` is another one.
        """
        if on_error not in ("raise", "skip"):
            raise ValueError(f"on_error must be 'raise' or 'skip', not {on_error!r}")
        self.on_error: str = on_error
        self.max_skipped = max_skipped
        self._skips = SkippedImages(max_skipped)

    @property
    def skipped(self) -> list[int]:
        """Indices of the images found unreadable so far, by any worker of this process."""
        return self._skips.indices()

    def read_info(self, idx: int) -> dict:
        """Return what the pipeline begins with."""
        return self.get_data_info(idx)

    def prepare_data(self, idx: int) -> Any:
        """Run the pipeline on an image.

        Args:
            idx: Index of the image.

        Returns:
            What the pipeline returns, or ``None`` for an image that is skipped.

        Raises:
            UnreadableImageError: If the image is unreadable, unless it is skipped.
            FileNotFoundError: Likewise, if it does not exist.
            ValueError: If there are too many of them, or the pipeline returns nothing.
        """
        try:
            sample = self.pipeline(self.read_info(idx))
        except (UnreadableImageError, FileNotFoundError) as error:
            if self.on_error == "raise":
                raise
            self._skips.note(int(idx), error)
            return None
        if sample is None:
            path = self.get_data_info(idx)["img_path"]
            raise ValueError(f"the pipeline returned nothing for {path}: it must keep every readable image")
        return sample
