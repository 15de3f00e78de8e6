"""The images that a user names on a command line, and what their results are named after."""

import os
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from densevlm_mm.datasets.unlabeled_images import IMAGE_EXTENSIONS


@dataclass
class _Item:
    """A folder or file that was given, and its images.

    Args:
        path: Absolute path.
        files: The images by absolute path, as the user would write them.
        depth: How many parts of ``path`` belong to the images' names.
    """

    path: Path
    files: dict[str, str]
    depth: int

    def name(self, file: str) -> str:
        """Relative path of an image that its results are named after."""
        kept = self.path.parts[max(len(self.path.parts) - self.depth, 1) :] if self.depth else ()
        return "/".join((*kept, *Path(file).relative_to(self.path).parts))


def list_images(items: Sequence[str], ignored: str | None = None) -> list[dict[str, str]]:
    """List images, each once, with the names that tell them apart.

    A name is the path below the folder that was given; of several items it begins with the folder's own name, and with
    as many of the folders above it as it takes to tell images of two items apart.

    Args:
        items: Image files, and folders, which are searched with their subfolders.
        ignored: Folder in which nothing is looked for: that of the results.

    Returns:
        Dicts with ``img_path``, as the user would write it, and ``rel_path``, in the order of the items and of the
        alphabet.

    Raises:
        FileNotFoundError: If an item does not exist.
        ValueError: If there is no image at all.

    Example:
        >>> list_images(["day/cam1", "day/cam2"], "results")
        [{'img_path': 'day/cam1/1.jpg', 'rel_path': 'cam1/1.jpg'}, {'img_path': 'day/cam2/1.jpg', ...}]
    """
    without = None if ignored is None else Path(ignored).absolute()
    found: list[_Item] = []
    listed: set[str] = set()
    for item in items:
        files = {os.path.abspath(path): str(path) for path in _image_files(Path(item), without)}
        files = {path: given for path, given in files.items() if path not in listed}
        listed.update(files)
        absolute = Path(os.path.abspath(item))
        is_folder = absolute.is_dir()
        found.append(_Item(absolute if is_folder else absolute.parent, files, int(is_folder and len(items) > 1)))
    if not listed:
        raise ValueError(f"no image in {', '.join(items)}; known endings: {', '.join(IMAGE_EXTENSIONS)}")
    while clashing := [each for each in _clashing(found) if each.depth < len(each.path.parts)]:
        for each in clashing:
            each.depth += 1
    return [dict(img_path=given, rel_path=each.name(path)) for each in found for path, given in each.files.items()]


def _clashing(items: Sequence[_Item]) -> list[_Item]:
    """Items that have an image of the same name as another item."""
    owners: dict[str, set[int]] = defaultdict(set)
    for index, item in enumerate(items):
        for file in item.files:
            owners[item.name(file).casefold()].add(index)
    return [items[i] for i in sorted({i for group in owners.values() if len(group) > 1 for i in group})]


def _image_files(path: Path, ignored: Path | None) -> Iterator[Path]:
    if path.is_dir():
        for file in sorted(file for file in path.rglob("*") if file.suffix.lower() in IMAGE_EXTENSIONS):
            # A broken link is listed, to be reported; a folder or a pipe with such a name is no image.
            is_image = file.is_file() or (file.is_symlink() and not file.exists())
            if is_image and not (ignored and file.absolute().is_relative_to(ignored)):
                yield file
    elif path.is_file():
        yield path
    else:
        raise FileNotFoundError(f"there is no image or folder {path}.")
