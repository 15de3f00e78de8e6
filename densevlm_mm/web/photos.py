"""The photographs of the page: reading a visitor's, and examples of TinyScenes."""

import hashlib
from dataclasses import dataclass
from itertools import compress
from operator import not_
from pathlib import Path

import cv2
import numpy as np

from densevlm_mm.datasets.image_files import UnreadableImageError, decode_image, read_header
from densevlm_mm.tiny_scenes import CLASS_NAMES, THING_NAMES, SceneGenerator
from densevlm_mm.web.words import Words

MAX_BYTES = 30 * 2**20
MAX_PIXELS = 64_000_000
SHOWN_SIZE = 1024  # longer side; maps of 60 words over a photograph of 24 megapixels would take 6 GB
CLICKED_SIZE = 640  # longer side of the photograph in which one clicks; its place on the page is smaller
EXAMPLES = (6, 23, 4, 3, 11, 21)  # scenes of TinyScenes' validation split; the last one has no thing in it
_ENLARGED = 8


@dataclass(frozen=True, eq=False)
class Photo:
    """A photograph as the page shows it.

    Args:
        name: Of its file.
        image: BGR (H, W, 3) uint8, at most `SHOWN_SIZE` large.
        labels: What is there, (H, W) TinyScenes labels, 255 where nobody knows; None for all but the examples.
    """

    name: str
    image: np.ndarray
    labels: np.ndarray | None = None

    @property
    def rgb(self) -> np.ndarray:
        """RGB (H, W, 3) uint8."""
        return np.ascontiguousarray(self.image[..., ::-1])

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        return self.image.shape[1], self.image.shape[0]

    @property
    def zoom(self) -> float:
        """How much larger the photograph is in which one clicks; gradio does not show it larger than it is."""
        return CLICKED_SIZE / max(self.size)

    @property
    def zoomed(self) -> np.ndarray:
        """RGB, larger by :attr:`zoom`."""
        return _resized(self.rgb, self.zoom)

    def only_stuff(self, boxes: np.ndarray) -> np.ndarray | None:
        """Whether boxes show nothing but stuff.

        Args:
            boxes: x1, y1, x2, y2 (R, 4) as fractions of the image.

        Returns:
            (R,) bool; None if nobody knows what is there.
        """
        if self.labels is None:
            return None
        corners = (boxes * np.tile(self.size, 2)).round().astype(int)
        is_stuff = (self.labels >= len(THING_NAMES)) & (self.labels < len(CLASS_NAMES))
        return np.array([is_stuff[top:bottom, left:right].all() for left, top, right, bottom in corners])


class PhotoReader:
    """Read a visitor's files, and know the examples again.

    Args:
        folder: Where the examples are written.

    Example:
        >>> reader = PhotoReader(folder)
        >>> reader.read(reader.examples[0]).labels.shape
        (512, 512)
    """

    def __init__(self, folder: str | Path) -> None:
        self.examples: list[Path] = []
        self._labels: dict[str, np.ndarray] = {}
        present: set[int] = set()
        generator = SceneGenerator(seed=0, split="val")
        for number, index in enumerate(EXAMPLES):
            scene = generator.scene(index)
            labels = np.array([255, *scene.segment_labels])[scene.segment_ids]
            present.update(scene.segment_labels)
            image = cv2.resize(scene.image[..., ::-1], None, fx=_ENLARGED, fy=_ENLARGED, interpolation=cv2.INTER_CUBIC)
            content = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 92])[1].tobytes()
            self._labels[_digest(content)] = labels.repeat(_ENLARGED, axis=0).repeat(_ENLARGED, axis=1)
            self.examples.append(Path(folder) / f"tiny_scene_{number + 1}.jpg")
            self.examples[-1].write_bytes(content)
        found = [CLASS_NAMES[label] for label in sorted(present)]
        is_thing = [name in THING_NAMES for name in found]
        self.example_words = Words(tuple(compress(found, is_thing)), tuple(compress(found, map(not_, is_thing))))

    def read(self, path: str | Path | None) -> Photo:
        """Read a file.

        Raises:
            ValueError: If there is none, or it is no complete image, or too large.
        """
        if path is None:
            raise ValueError("Pick or upload a photograph first.")
        path = Path(path)
        if path.stat().st_size > MAX_BYTES:
            raise ValueError(f"{path.name} is larger than {MAX_BYTES >> 20} MiB: make it smaller.")
        content = path.read_bytes()
        try:
            header = read_header(content, path.name)
            if header.height * header.width > MAX_PIXELS:
                raise ValueError(
                    f"{path.name} is {header.width} x {header.height} pixels; at most {MAX_PIXELS // 10**6} million "
                    "are shown: make it smaller."
                )
            image = decode_image(content, path.name, header=header)
        except UnreadableImageError as error:
            raise ValueError(f"This file cannot be shown. {error}") from error
        scale = SHOWN_SIZE / max(image.shape[:2])
        if scale < 1:
            image = _resized(image, scale)
        return Photo(path.name, image, self._labels.get(_digest(content)))


def _resized(image: np.ndarray, scale: float) -> np.ndarray:
    size = tuple(max(round(side * scale), 1) for side in image.shape[1::-1])
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
