"""What all converters of label maps have in common: writing them in parallel, and verifying what was written."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from multiprocessing import Pool
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, TypeVar

import numpy as np
from PIL import Image, UnidentifiedImageError
from tqdm import tqdm

from densevlm_mm.datasets.image_files import decode_image, read_header

T = TypeVar("T")


class Sample(NamedTuple):
    """The files of one image.

    Attributes:
        source: Published label file.
        image: Image that the label map belongs to after the conversion.
        label: Label map to write.
    """

    source: Path
    image: Path
    label: Path


class ConversionSummary(NamedTuple):
    """What is there after a conversion.

    Attributes:
        num_images: How many label maps.
        present: (K,) bool, the classes that have a pixel in them.
    """

    num_images: int
    present: np.ndarray

    def report(self, what: str, published: int) -> str:
        """One line for the user.

        Args:
            what: The data set and its split.
            published: Number of images that published figures are over.
        """
        line = f"{what}: {self.num_images} images, {self.present.sum()} of {len(self.present)} classes occur"
        return line if self.num_images == published else f"{line} (published figures: {published} images)"


class LabelMapConverter(ABC):
    """Converts a release's label maps to PNGs of labels 0 to K - 1; to be pickled into worker processes."""

    num_classes: ClassVar[int]
    ignore_index: ClassVar[int]

    @property
    def dtype(self) -> type[np.unsignedinteger]:
        """Type of the written labels, as narrow as the ignored label allows."""
        return np.uint8 if self.ignore_index < 256 else np.uint16

    @abstractmethod
    def samples(self) -> list[Sample]:
        """List what is to be converted.

        Raises:
            FileNotFoundError: The release is not where it should be.
            ValueError: Two images would be written to the same file, or there is none.
        """

    @abstractmethod
    def labels(self, sample: Sample) -> np.ndarray:
        """Labels (H, W) of an image, 0 to K - 1 or ``ignore_index``, computed from the source.

        Raises:
            FileNotFoundError: The source does not exist.
            ValueError: The source is not in the release's format.
        """

    def write_image(self, sample: Sample) -> None:  # noqa: B027 (most releases keep their images)
        """Write the image, if it is not taken as it is."""

    def write(self, sample: Sample) -> np.ndarray:
        """Write one image's files.

        Returns:
            (K,) bool, the classes in it.
        """
        labels = self.labels(sample)
        self.write_image(sample)
        sample.label.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(labels.astype(self.dtype)).save(sample.label)
        return self._present(labels)

    def problems(self, sample: Sample) -> tuple[list[str], np.ndarray]:
        """Compare one image's written files with its source.

        Returns:
            What is wrong, a line each; (K,) bool, the classes in the written label map.
        """
        expected = self.labels(sample)
        nothing = np.zeros(self.num_classes, dtype=bool)
        try:
            written = read_label_map(sample.label)
            image_size = _image_size(sample.image, written.shape)
        except (OSError, ValueError) as error:
            return [str(error)], nothing
        found = []
        if image_size != written.shape:
            found.append(f"{sample.label} is {_size(written.shape)}, but its image {sample.image} {_size(image_size)}")
        if written.dtype != self.dtype:
            found.append(f"{sample.label} holds {written.dtype}, not {np.dtype(self.dtype)}")
        wrong = (written >= self.num_classes) & (written != self.ignore_index)
        if wrong.any():
            found.append(f"{sample.label} has label {written[wrong][0]}, which is no class and not ignored")
        if found:
            return found, nothing
        if written.shape != expected.shape:
            found.append(f"{sample.label} is {_size(written.shape)}, its source gives {_size(expected.shape)}")
        elif (written != expected).any():
            classes = np.flatnonzero(self._present(written) != self._present(expected))
            where = f"classes {classes[:5].tolist()} come or go" if len(classes) else "the classes are the same"
            count = int((written != expected).sum())
            found.append(f"{sample.label} differs from its source {sample.source} in {count} pixels ({where})")
        return found, self._present(written)

    def convert(self, nproc: int = 1) -> ConversionSummary:
        """Write all files.

        Args:
            nproc: Number of processes.
        """
        samples = self.samples()
        present = np.zeros(self.num_classes, dtype=bool)
        for one in run_all(self.write, samples, nproc, "convert"):
            present |= one
        return ConversionSummary(len(samples), present)

    def verify(self, nproc: int = 1) -> ConversionSummary:
        """Read all written files again and compare them with the source.

        Args:
            nproc: Number of processes.

        Raises:
            ValueError: a file is missing, unreadable, left over, or holds something else than its source says. The
                message has the first few.
        """
        samples = self.samples()
        present = np.zeros(self.num_classes, dtype=bool)
        wrong = _left_over(samples)
        for lines, one in run_all(self.problems, samples, nproc, "verify"):
            wrong += lines
            present |= one
        if wrong:
            shown = "\n".join(f"  {line}" for line in wrong[:5])
            raise ValueError(f"{len(wrong)} problems in {len(samples)} images; convert again. The first:\n{shown}")
        return ConversionSummary(len(samples), present)

    def _present(self, labels: np.ndarray) -> np.ndarray:
        return np.bincount(labels.ravel(), minlength=self.num_classes)[: self.num_classes] > 0


def read_label_map(path: Path) -> np.ndarray:
    """Read a PNG with one channel of whole numbers.

    Raises:
        FileNotFoundError: It does not exist.
        ValueError: It cannot be read, or has several channels.
    """
    try:
        with Image.open(path) as image:
            labels = np.asarray(image)
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{path} does not exist") from error
    except (UnidentifiedImageError, OSError, SyntaxError) as error:
        raise ValueError(f"{path} cannot be read: {error}") from error
    if labels.ndim != 2:
        raise ValueError(f"{path} has shape {labels.shape}, not one channel of labels")
    # Depending on its version, Pillow gives 16 bits as uint16 or, of the mode I, as int32.
    return labels.astype(np.uint16) if labels.dtype == np.int32 else labels


def unique_samples(samples: Sequence[Sample], where: Path, what: str) -> list[Sample]:
    """The samples in order, if there are any and no two are written to one file.

    Raises:
        ValueError: There is none, or two have the same output.
    """
    if not samples:
        raise ValueError(f"{where} holds no {what}")
    seen: dict[Path, Sample] = {}
    for sample in samples:
        other = seen.setdefault(sample.label, sample)
        if other is not sample:
            raise ValueError(f"{other.source} and {sample.source} would both be written to {sample.label}")
    return sorted(samples)


def _image_size(path: Path, labels: tuple[int, int]) -> tuple[int, int]:
    """Height and width of a readable image, in the frame of its label map if it has two."""
    if not path.is_file():
        raise FileNotFoundError(f"image {path} does not exist")
    content = path.read_bytes()
    header = read_header(content, str(path))
    decode_image(content, str(path), header=header)
    return header.shape("shown") if header.shape("shown") == labels else header.shape("stored")


def _size(shape: Sequence[int]) -> str:
    return f"{shape[1]} x {shape[0]}"


def _left_over(samples: Sequence[Sample]) -> list[str]:
    expected = {sample.label for sample in samples}
    sources = {sample.source for sample in samples}
    folders = {sample.label.parent for sample in samples}
    found = {path for folder in folders if folder.is_dir() for path in folder.glob("*.png")}
    return [f"{path} belongs to no image of the source" for path in sorted(found - expected - sources)]


def run_all(function: Callable[[T], Any], samples: Sequence[T], nproc: int, title: str) -> Iterator[Any]:
    """Apply a function to samples with a progress bar; the order of the results is open.

    Args:
        function: To be pickled into worker processes.
        samples: What it is applied to.
        nproc: Number of processes.
        title: Of the bar.

    Raises:
        ValueError: ``nproc`` is not positive.
    """
    if nproc < 1:
        raise ValueError(f"nproc is {nproc}; give at least 1")
    if nproc == 1:
        yield from tqdm(map(function, samples), title, len(samples))
        return
    with Pool(nproc) as pool:
        yield from tqdm(pool.imap_unordered(function, samples, chunksize=8), title, len(samples))
