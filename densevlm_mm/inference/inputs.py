"""What a user gives to be predicted on: files, folders, URLs, videos, arrays, PIL images, lists of these."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import mmcv
import numpy as np
from PIL import Image, ImageOps
from torch.utils.data import Dataset

from densevlm_mm.inference.image_listing import list_images
from densevlm_mm.output_names import output_names

VIDEO_EXTENSIONS = (".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".webm")


@dataclass(frozen=True)
class InputImage:
    """An image that is to be predicted on.

    Args:
        path: Of the file, or what an image from elsewhere is called.
        name: What its results are called, a relative path without suffix.
        image: BGR (H, W, 3) uint8; None is read from ``path``.
    """

    path: str
    name: str
    image: np.ndarray | None = field(default=None, repr=False)


class UnreadableImage(NamedTuple):
    """What takes a prediction's place when an image cannot be read or prepared.

    Attributes:
        path: The image.
        reason: Why, in one line.
    """

    path: str
    reason: str


class LoadedImage(NamedTuple):
    """An image and what the pipeline made of it.

    Args:
        path: Of the file, or what it is called.
        name: What its results are called.
        image: BGR (H, W, 3) uint8, as it was loaded.
        data: ``inputs`` and ``data_samples`` of the model.
    """

    path: str
    name: str
    image: np.ndarray
    data: Mapping[str, Any]


def is_video(item: Any) -> bool:
    """Whether an input is the path of a video, by its ending."""
    return isinstance(item, str | PathLike) and Path(item).suffix.lower() in VIDEO_EXTENSIONS


def is_single(inputs: Any) -> bool:
    """Whether inputs are one image: no list, folder or video."""
    if isinstance(inputs, list | tuple) or is_video(inputs):
        return False
    return not (isinstance(inputs, str | PathLike) and Path(inputs).is_dir())


def list_inputs(inputs: Any) -> list[InputImage]:
    """List the images of everything but videos, in the order given.

    Args:
        inputs: Path, URL, folder (searched with its subfolders), array, PIL image, :class:`InputImage`, or list of
            these.

    Raises:
        FileNotFoundError: If a file or folder does not exist.
        TypeError: If something is none of these.
        ValueError: If a folder has no image, or an array is not BGR (H, W, 3) uint8.
    """
    items = inputs if isinstance(inputs, list | tuple) else [inputs]
    return [image for number, item in enumerate(items) for image in _images(item, f"image_{number}")]


def _images(item: Any, name: str) -> Iterator[InputImage]:
    if isinstance(item, InputImage):
        yield item
    elif isinstance(item, str | PathLike):
        path = str(item)
        if "://" in path:
            yield InputImage(path, PurePosixPath(urlsplit(path).path).stem or name)
        else:
            yield from list_files([path])
    elif isinstance(item, Image.Image):
        rgb = np.asarray(ImageOps.exif_transpose(item).convert("RGB"))
        yield InputImage(getattr(item, "filename", "") or name, name, np.ascontiguousarray(rgb[..., ::-1]))
    elif isinstance(item, np.ndarray):
        if item.ndim != 3 or item.shape[2] != 3 or item.dtype != np.uint8:
            raise ValueError(
                f"an array must be an image (H, W, 3) uint8, channels BGR as cv2 and mmcv read them, not "
                f"{item.shape} {item.dtype}"
            )
        yield InputImage(name, name, item)
    else:
        raise TypeError(f"an image is a path, URL, folder, video, array or PIL image, not {type(item).__name__}")


def list_files(items: Sequence[str], ignored: str | None = None) -> list[InputImage]:
    """List the images of files and folders, each once, with names that tell them apart; see :func:`list_images`.

    Args:
        items: Files and folders.
        ignored: Folder in which nothing is looked for: that of the results.

    Raises:
        FileNotFoundError: If an item does not exist.
        ValueError: If there is no image at all.
    """
    listed = list_images(items, ignored)
    names = output_names([image["rel_path"] for image in listed], "")
    return [InputImage(image["img_path"], name) for image, name in zip(listed, names, strict=True)]


def video_frames(path: str) -> Iterator[InputImage]:
    """Frames of a video, named ``VIDEO/000000``.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no video that OpenCV can read.
    """
    video = open_video(path)
    for number in range(len(video)):
        frame = video.read()
        if frame is None:  # the header counts more frames than the file has
            return
        name = f"{Path(path).stem}/{number:06d}"
        yield InputImage(f"{path}#{number}", name, frame)


def open_video(path: str) -> mmcv.VideoReader:
    """Open a video.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no video that OpenCV can read.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"there is no video {path}")
    video = mmcv.VideoReader(str(path))
    if not video.opened or len(video) < 1:
        raise ValueError(f"{path} is no video that OpenCV can read")
    return video


class InputDataset(Dataset):
    """Images, loaded and prepared; one that cannot be becomes an :class:`UnreadableImage`.

    Args:
        images: What to load.
        loader: Transform that reads ``img_path``.
        pipeline: The transforms after it.
    """

    def __init__(self, images: Sequence[InputImage], loader: Callable, pipeline: Callable) -> None:
        self.images, self.loader, self.pipeline = images, loader, pipeline

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> LoadedImage | UnreadableImage:
        """Load an image, or say why it cannot be."""
        return self.load(self.images[index], index)

    def load(self, item: InputImage, index: int = 0) -> LoadedImage | UnreadableImage:
        """The same for an image that is not listed."""
        try:
            results: dict[str, Any] = dict(img_path=item.path, img_id=index, sample_idx=index)
            if item.image is None:
                results = self.loader(results)
            else:
                size = item.image.shape[:2]
                results.update(img=item.image, img_shape=size, ori_shape=size)
            image = results["img"]
            return LoadedImage(item.path, item.name, image, self.pipeline(results))
        except FileNotFoundError:
            reason = "there is no such file" + (", only a link to it" if Path(item.path).is_symlink() else "")
        except (OSError, ValueError) as error:
            reason = str(error)
        except Exception as error:  # whatever a decoder or transform makes of a strange file, the others go on
            reason = f"{type(error).__name__}: {error}"
        return UnreadableImage(item.path, " ".join(reason.split()))
