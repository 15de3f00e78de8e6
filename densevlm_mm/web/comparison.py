"""What one or two encoders see in a photograph, view by view: `EncoderComparison`."""

import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Lock
from typing import Any

import numpy as np

from densevlm_mm.analysis.command_line import file_stem
from densevlm_mm.analysis.grid_classification import GridClassification, grid_boxes, plot_grid_classification
from densevlm_mm.inference import InputImage, OpenVocabularyInferencer, Prediction, SimilarityMaps
from densevlm_mm.visualization.detected_regions import detected_regions
from densevlm_mm.visualization.named_regions import draw_named_regions
from densevlm_mm.web.photos import Photo
from densevlm_mm.web.regions import Region
from densevlm_mm.web.words import Words

THRESHOLD = 0.3  # theta of Section 3.2, below which the teacher drops a region


@dataclass(frozen=True, eq=False)
class Views:
    """What an encoder sees.

    Args:
        similarity: A map for each word.
        segments: The nearest word of every pixel.
        cells: The nearest word of every cell of a grid.
    """

    similarity: SimilarityMaps
    segments: Prediction
    cells: GridClassification


class EncoderComparison:
    """Show the same photograph and words to one or two encoders.

    Calls from several threads wait for each other: an encoder holds one vocabulary at a time.

    Args:
        encoders: What an encoder is called -> the encoder.

    Raises:
        ValueError: If there are none, or more than two.
    """

    def __init__(self, encoders: Mapping[str, OpenVocabularyInferencer]) -> None:
        if not 1 <= len(encoders) <= 2:
            raise ValueError(f"the page compares one or two encoders, not {len(encoders)}")
        self.encoders = dict(encoders)
        self._lock = Lock()

    @property
    def names(self) -> list[str]:
        """What the encoders are called."""
        return list(self.encoders)

    def look(self, photo: Photo, words: Words, cells: int) -> dict[str, Views]:
        """Compute the views of every encoder, by its name.

        Args:
            photo: What is looked at.
            words: What is looked for.
            cells: Rows and columns of the grid.

        Raises:
            ValueError: If an encoder's tokenizer sees nothing in a word.
        """
        with self._lock:
            return {name: self._look(see, photo, words, cells) for name, see in self.encoders.items()}

    def _look(self, see: OpenVocabularyInferencer, photo: Photo, words: Words, cells: int) -> Views:
        see.set_vocabulary(words.names)
        image = InputImage(photo.name, photo.name, photo.image)
        segments = see(image)
        assert isinstance(segments, Prediction)
        boxes = grid_boxes((cells, cells))
        found = see.classify(image, boxes=(boxes * np.tile(photo.size, 2)).astype(np.float32))
        grid = GridClassification(
            (cells, cells),
            found.labels,
            found.scores,
            found.scores > THRESHOLD,
            found.classes,
            words.is_thing,
            photo.only_stuff(boxes),
        )
        return Views(see.similarity(image), segments, grid)

    def name_region(self, photo: Photo, words: Words, region: Region) -> list[Prediction]:
        """Classify a region with every encoder; each prediction has one entry and ``class_scores`` (1, K)."""
        image = InputImage(photo.name, photo.name, photo.image)
        with self._lock:
            for see in self.encoders.values():
                see.set_vocabulary(words.names)
            return [see.classify(image, **region.arguments()) for see in self.encoders.values()]

    def grid_picture(self, photo: Photo, name: str, cells: GridClassification, folder: str | Path) -> Path:
        """Write the picture of an encoder's grid into a folder."""
        path = Path(folder) / f"{file_stem(name)}_grid.png"
        with self._lock:  # matplotlib's settings are those of the process
            plot_grid_classification(photo.rgb, {name: cells}, path, THRESHOLD)
        return path

    def write_results(self, photo: Photo, words: Words, seen: Mapping[str, Views], path: str | Path) -> None:
        """Write everything that is on the page into a ZIP file: pictures, and the figures as JSON.

        Args:
            photo: What was looked at.
            words: What was looked for.
            seen: What :meth:`look` gave.
            path: File to write.
        """
        with TemporaryDirectory() as folder, zipfile.ZipFile(path, "w") as archive:
            for name, views in seen.items():
                stem = file_stem(name)
                views.similarity.save(Path(folder) / f"{stem}_similarity.png")
                views.segments.save(Path(folder) / f"{stem}_segments.png")
                self.grid_picture(photo, name, views.cells, folder)
                record = _figures(name, photo, words, views)
                (Path(folder) / f"{stem}.json").write_text(json.dumps(record, indent=1), encoding="utf-8")
            for file in sorted(Path(folder).iterdir()):
                archive.write(file, file.name)


def draw_region(photo: Photo, region: Region, text: str) -> np.ndarray:
    """Draw a region and what stands at it on a photograph: RGB, as large as :attr:`Photo.zoomed`."""
    arguments = {kind: values * photo.zoom for kind, values in region.arguments().items()}
    drawn = detected_regions([text], [0], arguments.get("boxes"), points=arguments.get("points"))
    return draw_named_regions(photo.zoomed, drawn, min_size=0)


def _figures(name: str, photo: Photo, words: Words, views: Views) -> dict[str, Any]:
    maps = zip(views.similarity.texts, views.similarity.maps, strict=True)
    return dict(
        encoder=name,
        photo=dict(name=photo.name, width=photo.size[0], height=photo.size[1]),
        things=words.things,
        stuff=words.stuff,
        cosines={text: dict(lowest=float(values.min()), highest=float(values.max())) for text, values in maps},
        segments=views.segments.to_coco(),
        cells=views.cells.record(),
    )
