"""ADE20K_2021_17_01 to A-847: images of moderate size and 16-bit label maps."""

import json
import shutil
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image

from densevlm_mm.datasets.converters.label_maps import LabelMapConverter, Sample, unique_samples
from densevlm_mm.datasets.image_files import annotated_frame, decode_image, read_file, read_header
from densevlm_mm.vocabulary.vocabulary import vocabulary_dir

SHORT_SIDE = 512
SPLITS = ("training", "validation")


@cache
def object_labels() -> np.ndarray:
    """Label of every object number of ADE20K, 65535 for the objects that are none of the 847 classes.

    Returns:
        (6656,) uint16, for all numbers that the colours of a label file can say.
    """
    classes = json.loads((vocabulary_dir() / "ade20k_847.json").read_text(encoding="utf-8"))["classes"]
    table = np.full(25 * 256 + 256, ADE20K847Converter.ignore_index, dtype=np.uint16)
    for label, entry in enumerate(classes):
        table[entry["ade_id"]] = label
    return table


class ADE20K847Converter(LabelMapConverter):
    """Reads ``images/ADE/<split>/**/<name>.jpg`` and ``<name>_seg.png``; writes images and labels of one folder each.

    The number of a pixel's object is ``red // 10 * 256 + green``. Images and labels whose short side is longer than
    512 pixels are shrunk to that (bilinear, nearest), and A-847 is scored at this size. Other images are copied.

    Args:
        source: The unpacked ``ADE20K_2021_17_01``.
        out: Folder to write ``images/<split>`` and ``annotations/<split>`` to.
        splits: Of ``training`` and ``validation``.

    Raises:
        ValueError: a split is unknown.
    """

    num_classes = 847
    ignore_index = 65535

    def __init__(self, source: str | Path, out: str | Path, splits: Sequence[str] = ("validation",)) -> None:
        unknown = set(splits) - set(SPLITS)
        if unknown:
            raise ValueError(f"ADE20K has no split {sorted(unknown)}, only {SPLITS}")
        self.source, self.out, self.splits = Path(source), Path(out), tuple(splits)

    def samples(self) -> list[Sample]:
        """List the images of the splits."""
        found = []
        for split in self.splits:
            folder = self.source / "images" / "ADE" / split
            if not folder.is_dir():
                raise FileNotFoundError(f"{folder} does not exist: give the folder of the unpacked ADE20K_2021_17_01")
            for image in folder.rglob("*.jpg"):
                found.append(
                    Sample(
                        source=image.with_name(f"{image.stem}_seg.png"),
                        image=self.out / "images" / split / image.name,
                        label=self.out / "annotations" / split / f"{image.stem}.png",
                    )
                )
        return unique_samples(found, self.source, "images (.jpg) below images/ADE")

    def labels(self, sample: Sample) -> np.ndarray:
        """Labels of an image at its size after the conversion."""
        if not sample.source.is_file():
            raise FileNotFoundError(f"{sample.source} does not exist, but its image does: is the archive complete?")
        try:
            with Image.open(sample.source) as picture:
                colours = np.asarray(picture)
        except (OSError, ValueError, SyntaxError) as error:
            raise ValueError(f"{sample.source} cannot be read: {error}") from error
        if colours.ndim != 3 or colours.shape[2] < 2:
            raise ValueError(f"{sample.source} has shape {colours.shape}, not the colours of ADE20K's label files")
        numbers = colours[..., 0] // 10 * np.int64(256) + colours[..., 1]
        labels = Image.fromarray(object_labels()[numbers])
        return np.asarray(labels.resize(reduced_size(*labels.size), Image.Resampling.NEAREST)).astype(np.uint16)

    def write_image(self, sample: Sample) -> None:
        """Copy the image; write it smaller, or turned as its labels are and without the EXIF tag that says so."""
        original = sample.source.with_name(sample.image.name)
        content, path = read_file(str(original)), str(original)
        header = read_header(content, path)
        annotated = read_header(read_file(str(sample.source)), str(sample.source)).shape("stored")
        pixels = decode_image(content, path, annotated_frame(header, annotated, path), header=header)
        size = reduced_size(pixels.shape[1], pixels.shape[0])
        sample.image.parent.mkdir(parents=True, exist_ok=True)
        if header.orientation == 1 and size == (header.width, header.height):
            shutil.copyfile(original, sample.image)
            return
        image = Image.fromarray(np.ascontiguousarray(pixels[..., ::-1]))
        image.resize(size, Image.Resampling.BILINEAR).save(sample.image, quality=95)


def reduced_size(width: int, height: int) -> tuple[int, int]:
    """Width and height with a short side of at most 512 pixels and the same proportions."""
    scale = min(SHORT_SIDE / min(width, height), 1.0)
    return int(width * scale + 0.5), int(height * scale + 0.5)
