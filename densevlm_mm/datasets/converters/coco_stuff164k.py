"""COCO-Stuff-164k's pixel maps to labels 0 to 170."""

from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np

from densevlm_mm.datasets.converters.label_maps import LabelMapConverter, Sample, read_label_map, unique_samples

SPLITS = ("train2017", "val2017")
SUFFIX = "_labelTrainIds.png"

# Numbers of the 182 that no pixel has: COCO planned these classes and never annotated them.
_UNUSED = (11, 25, 28, 29, 44, 65, 67, 68, 70, 82, 90)


@cache
def pixel_labels() -> np.ndarray:
    """Label of every pixel value: the used ones of 0 to 181 in order, 255 for 255, -1 for values that mean nothing.

    Returns:
        (256,) int64.
    """
    table = np.full(256, -1)
    used = [value for value in range(182) if value not in _UNUSED]
    table[used] = np.arange(len(used))
    table[255] = 255
    return table


class COCOStuff164kConverter(LabelMapConverter):
    """Reads ``stuffthingmaps/<split>/<name>.png``; writes ``<name>_labelTrainIds.png`` beside it, as mmseg names it.

    Args:
        root: COCO's folder, with ``train2017`` and ``val2017`` (images) and ``stuffthingmaps``.
        splits: Of ``train2017`` and ``val2017``.

    Raises:
        ValueError: a split is unknown.
    """

    num_classes = 171
    ignore_index = 255

    def __init__(self, root: str | Path, splits: Sequence[str] = SPLITS) -> None:
        unknown = set(splits) - set(SPLITS)
        if unknown:
            raise ValueError(f"COCO-Stuff has no split {sorted(unknown)}, only {SPLITS}")
        self.root, self.splits = Path(root), tuple(splits)

    def samples(self) -> list[Sample]:
        """List the pixel maps of the splits."""
        found = []
        for split in self.splits:
            folder = self.root / "stuffthingmaps" / split
            if not folder.is_dir():
                raise FileNotFoundError(f"{folder} does not exist: unpack stuffthingmaps_trainval2017.zip there")
            for source in folder.glob("*.png"):
                if not source.name.endswith(SUFFIX):
                    image = self.root / split / f"{source.stem}.jpg"
                    found.append(Sample(source, image, source.with_name(f"{source.stem}{SUFFIX}")))
        return unique_samples(found, self.root / "stuffthingmaps", "pixel maps (.png)")

    def labels(self, sample: Sample) -> np.ndarray:
        """Labels of an image."""
        values = read_label_map(sample.source)
        labels = pixel_labels()[values]
        if (labels < 0).any():
            raise ValueError(
                f"{sample.source} has value {values[labels < 0][0]}, which COCO-Stuff does not use: are these the "
                "pixel maps of the release (0 to 181 and 255)?"
            )
        return labels.astype(np.uint8)
