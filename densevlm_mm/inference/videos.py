"""Writing videos of pictures."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np

from densevlm_mm.files import atomic_write


@contextmanager
def video_writer(path: str | Path, frames_per_second: float) -> Iterator[Callable[[np.ndarray], None]]:
    """Give a function that appends a frame to a video; the file is whole or not there.

    Args:
        path: ``.mp4``.
        frames_per_second: Of the video.

    Yields:
        Takes RGB frames (H, W, 3) uint8, all of the first one's size.

    Raises:
        ValueError: If OpenCV cannot write such a file.
    """
    with atomic_write(path) as partial:
        writer = cv2.VideoWriter()

        def write(frame: np.ndarray) -> None:
            if not writer.isOpened():
                size = (frame.shape[1], frame.shape[0])
                writer.open(str(partial), cv2.VideoWriter.fourcc(*"mp4v"), frames_per_second or 25.0, size)
                if not writer.isOpened():
                    raise ValueError(f"OpenCV cannot write {path} as an MP4 video of {size[0]} x {size[1]} pixels")
            writer.write(np.ascontiguousarray(frame[..., ::-1]))

        try:
            yield write
        finally:
            writer.release()
