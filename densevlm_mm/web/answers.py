"""What the page answers to a visitor, in the terms of gradio's components: `Answers`."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import cv2
import gradio as gr
import numpy as np
from matplotlib.colors import to_hex

from densevlm_mm.analysis.command_line import file_stem
from densevlm_mm.inference import Prediction, SimilarityMaps
from densevlm_mm.visualization.distinct_colours import assign_colours
from densevlm_mm.visualization.heat import overlay_heat
from densevlm_mm.web import texts
from densevlm_mm.web.comparison import EncoderComparison, draw_region
from densevlm_mm.web.photos import Photo, PhotoReader
from densevlm_mm.web.regions import Region, read_region
from densevlm_mm.web.words import Words, read_words

_TILE_SIZE = 320  # longer side of a similarity map in the gallery, in pixels
POINT, BOX = "a point", "a box (two clicks)"
Corner = tuple[float, float] | None


class Answers:
    """Answer to what a visitor does. Nothing of a visitor is kept here, so that two tabs know nothing of each other.

    Args:
        comparison: The encoders.
        reader: Reads photographs.
        folder: Where results are written for the visitor to fetch.
    """

    def __init__(self, comparison: EncoderComparison, reader: PhotoReader, folder: str | Path) -> None:
        self.comparison, self.reader, self.folder = comparison, reader, Path(folder)

    def look(self, path: str | None, things: str, stuff: str, cells: float) -> list[Any]:
        """Compute all views.

        Args:
            path: The photograph's file; None if there is none.
            things: Names of things.
            stuff: Names of stuff.
            cells: Rows and columns of the grid.

        Returns:
            For each encoder its similarity maps, segments, grid and a sentence on the grid; then the fields of the
            region, which are emptied, and the download, which is gone.

        Raises:
            gr.Error: If photograph or words are not as they should be.
        """
        names = self.comparison.names
        if not path:
            return [*[[], None, None, ""] * len(names), *self._region_fields(None), gr.DownloadButton(visible=False)]
        with _told_to_the_visitor():
            photo, words = self._read(path, things, stuff)
            seen = self.comparison.look(photo, words, round(cells))
        answer: list[Any] = []
        for name, views in seen.items():
            grid = self.comparison.grid_picture(photo, name, views.cells, mkdtemp(dir=self.folder))
            answer += [similarity_tiles(views.similarity), segment_layers(views.segments), str(grid)]
            answer.append(texts.say_cells(views.cells))
        return [*answer, *self._region_fields(photo), gr.DownloadButton(visible=False)]

    def collect(self, path: str | None, things: str, stuff: str, cells: float) -> gr.DownloadButton:
        """Write all views of all encoders into a ZIP file to download; takes what :meth:`look` takes."""
        with _told_to_the_visitor():
            photo, words = self._read(path, things, stuff)
            seen = self.comparison.look(photo, words, round(cells))
        file = Path(mkdtemp(dir=self.folder)) / f"{file_stem(Path(photo.name).stem)}.zip"
        self.comparison.write_results(photo, words, seen, file)
        return gr.DownloadButton(f"Download {file.name}", value=str(file), visible=True)

    def name_region(self, path: str | None, things: str, stuff: str, typed: str) -> list[Any]:
        """Name a region that is typed.

        Args:
            path: The photograph's file.
            things: Names of things.
            stuff: Names of stuff.
            typed: ``x, y`` or ``x1, y1, x2, y2``.

        Returns:
            The fields of the region: the photograph with it, its numbers, the first corner of a box that waits for the
            second one, a sentence, and for each encoder the probabilities of the words.

        Raises:
            gr.Error: If photograph, words or region are not as they should be.
        """
        with _told_to_the_visitor():
            photo, words = self._read(path, things, stuff)
            return self._named(photo, words, read_region(typed, photo.size))

    def click(
        self, path: str | None, things: str, stuff: str, kind: str, corner: Corner, event: gr.SelectData
    ) -> list[Any]:
        """Name the point that is clicked, or the box of which it is the second corner; as :meth:`name_region`.

        Args:
            path: The photograph's file.
            things: Names of things.
            stuff: Names of stuff.
            kind: `POINT` or `BOX`.
            corner: First corner of the box, if it has been clicked.
            event: Where the click was, in pixels of :attr:`Photo.zoomed`.
        """
        with _told_to_the_visitor():
            photo, words = self._read(path, things, stuff)
            x, y = (round(value / photo.zoom, 1) for value in event.index)
            if kind == BOX and corner is None:
                marked = draw_region(photo, Region((x, y)), "first corner")
                return [marked, "", (x, y), texts.SECOND_CORNER, *[None] * len(self.comparison.names)]
            numbers = (x, y) if kind == POINT or corner is None else (*corner, x, y)
            return self._named(photo, words, read_region(", ".join(f"{value:g}" for value in numbers), photo.size))

    def _read(self, path: str | None, things: str, stuff: str) -> tuple[Photo, Words]:
        return self.reader.read(path), read_words(things, stuff)

    def _region_fields(self, photo: Photo | None) -> list[Any]:
        return [None if photo is None else photo.zoomed, "", None, "", *[None] * len(self.comparison.names)]

    def _named(self, photo: Photo, words: Words, region: Region) -> list[Any]:
        found = self.comparison.name_region(photo, words, region)
        picture = draw_region(photo, region, " / ".join(each.names[0] for each in found))
        sentence = texts.say_region(self.comparison.names, found)
        return [picture, str(region), None, sentence, *map(word_probabilities, found)]


@contextmanager
def _told_to_the_visitor() -> Iterator[None]:
    """Show what is wrong with a visitor's input on the page; bugs go on."""
    try:
        yield
    except ValueError as error:
        raise gr.Error(str(error), duration=15, print_exception=False) from error


def similarity_tiles(similarity: SimilarityMaps) -> list[tuple[np.ndarray, str]]:
    """The photograph under a heat map for each word, with the word and its lowest and highest cosine."""
    height, width = similarity.image.shape[:2]
    scale = _TILE_SIZE / max(height, width)
    size = max(round(width * scale), 1), max(round(height * scale), 1)
    small = cv2.resize(similarity.image, size, interpolation=cv2.INTER_AREA)
    tiles = []
    for text, values in zip(similarity.texts, similarity.maps, strict=True):
        low, high = float(values.min()), float(values.max())
        heat = overlay_heat(small, cv2.resize(values, size, interpolation=cv2.INTER_LINEAR), low, high)
        tiles.append((heat, f"{text} {low:.2f}…{high:.2f}"))
    return tiles


def segment_layers(segments: Prediction) -> gr.AnnotatedImage:
    """A segmentation as layers with a legend; a class has its colour, whatever else is in the picture."""
    assert segments.masks is not None
    palette = [to_hex(colour / 255) for colour in assign_colours(list(range(len(segments.classes))))]
    shares = [f"{100 * share:.0f} %" if share >= 0.005 else "<1 %" for share in segments.shares.tolist()]
    legend = [f"{name} {share}" for name, share in zip(segments.names, shares, strict=True)]
    return gr.AnnotatedImage(
        (segments.image, list(zip(segments.masks, legend, strict=True))),
        color_map={text: palette[label] for text, label in zip(legend, segments.labels.tolist(), strict=True)},
    )


def word_probabilities(found: Prediction) -> dict[str, float]:
    """The probability of each word for the one region of a prediction."""
    assert found.class_scores is not None
    return dict(zip(found.classes, found.class_scores[0].tolist(), strict=True))
