"""Pascal Context's 459-class annotations to PC-459: 16-bit label maps and a list of images."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import scipy.io

from densevlm_mm.datasets.converters.label_maps import ConversionSummary, LabelMapConverter, Sample, unique_samples
from densevlm_mm.files import write_text
from densevlm_mm.vocabulary.text_files import read_lines

# The first is written by mmsegmentation's converter of the 59 classes, the other comes with VOC 2010.
_LISTS = ("VOC2010/ImageSets/SegmentationContext/val.txt", "VOC2010/ImageSets/Main/val.txt")


class PascalContext459Converter(LabelMapConverter):
    """Reads ``trainval/<name>.mat`` of Pascal Context; the images stay in ``VOC2010/JPEGImages``.

    ``LabelMap`` holds 1 to 459, which become labels 0 to 458; 0 is ignored.

    Args:
        root: Folder with ``trainval`` and ``VOC2010``; ``annotations_459`` and the list are written to it.
        split: File with an image name a line; None takes ``VOC2010/ImageSets/SegmentationContext/val.txt``, the list
            of the published figures, or else ``VOC2010/ImageSets/Main/val.txt``.
        list_name: Name of the list of images to write.
    """

    num_classes = 459
    ignore_index = 65535

    def __init__(
        self, root: str | Path, split: str | Path | None = None, list_name: str = "pascal_context_459_val.txt"
    ) -> None:
        self.root = Path(root)
        self.split = None if split is None else Path(split)
        self.list_name = list_name

    def split_file(self) -> Path:
        """The list of images in use.

        Raises:
            FileNotFoundError: There is none.
        """
        candidates = [self.root / name for name in _LISTS] if self.split is None else [self.split]
        for path in candidates:
            if path.is_file():
                return path
        raise FileNotFoundError(f"no list of images: {' and '.join(map(str, candidates))} do not exist; give --split")

    def samples(self) -> list[Sample]:
        """List the images of the split."""
        for folder in (self.root / "trainval", self.root / "VOC2010" / "JPEGImages"):
            if not folder.is_dir():
                raise FileNotFoundError(
                    f"{folder} does not exist: {self.root} must hold trainval/ of Pascal Context and VOC2010/"
                )
        path = self.split_file()
        names = [line.split()[0] for line in read_lines(path, "list of images")]
        found = [
            Sample(
                source=self.root / "trainval" / f"{name}.mat",
                image=self.root / "VOC2010" / "JPEGImages" / f"{name}.jpg",
                label=self.root / "annotations_459" / f"{name}.png",
            )
            for name in names
        ]
        return unique_samples(found, path, "image names")

    def labels(self, sample: Sample) -> np.ndarray:
        """Labels of an image."""
        if not sample.source.is_file():
            raise FileNotFoundError(f"{sample.source} does not exist, but {self.split_file()} names it")
        try:
            numbers = np.asarray(scipy.io.loadmat(sample.source)["LabelMap"])
        except KeyError as error:
            raise ValueError(f"{sample.source} has no LabelMap: is it of the 459-class release?") from error
        except (ValueError, TypeError, NotImplementedError) as error:
            raise ValueError(f"{sample.source} cannot be read: {error}") from error
        numbers = numbers.astype(np.int64)
        if numbers.ndim != 2 or numbers.min() < 0 or numbers.max() > self.num_classes:
            raise ValueError(
                f"{sample.source}: LabelMap has shape {numbers.shape} and values {numbers.min()} to "
                f"{numbers.max()}, expected two dimensions and 0 to {self.num_classes}"
            )
        return np.where(numbers == 0, self.ignore_index, numbers - 1).astype(np.uint16)

    def convert(self, nproc: int = 1) -> ConversionSummary:
        """Write all label maps, then the list of their images."""
        summary = super().convert(nproc)
        write_text(self.root / self.list_name, self._list(self.samples()))
        return summary

    def verify(self, nproc: int = 1) -> ConversionSummary:
        """Compare the list of images and all label maps with the source."""
        path = self.root / self.list_name
        if not path.is_file():
            raise FileNotFoundError(f"{path} does not exist: convert first")
        if path.read_text(encoding="utf-8") != self._list(self.samples()):
            raise ValueError(f"{path} is not the list {self.split_file()}: convert again")
        return super().verify(nproc)

    @staticmethod
    def _list(samples: Sequence[Sample]) -> str:
        return "".join(f"{sample.label.stem}\n" for sample in samples)
