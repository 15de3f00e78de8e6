"""Names of image files in annotation files and lists: they may not lead out of the folder of the images."""

import os.path
import re
from collections.abc import Sequence

from mmengine import fileio

_HOW_TO_ALLOW = (
    "Files are looked for below data_prefix: write the name relative to it, or name folders that files may come from "
    "in the data set's allowed_roots"
)


def unsafe_reason(name: str) -> str | None:
    """Tell why a file name may not be used below a folder of images.

    Args:
        name: As it stands in the annotation file.

    Returns:
        The reason; None for a name that stays below. Whether the file is a symbolic link to elsewhere does not matter:
        links are made by the owner of the disk, names by the author of the annotations.
    """
    if not name.strip():
        return "is empty"
    if "\x00" in name:
        return "has a null character"
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", name):
        return "is an address"
    if re.match(r"[\\/]|[A-Za-z]:", name) or name.startswith("~"):
        return "is an absolute path"
    if ".." in re.split(r"[\\/]", name):
        return "leads out of its folder with '..'"
    return None


def join_image_path(prefix: str, name: str, source: str, allowed_roots: Sequence[str] = ()) -> str:
    """Path of an image that an annotation file or a list names.

    Args:
        prefix: Folder of the images, may be empty.
        name: File name, relative to it.
        source: The annotation file, for the error.
        allowed_roots: Folders that absolute names, and names with ``..``, may lead to.

    Raises:
        ValueError: If the name leads elsewhere.
    """
    reason = unsafe_reason(name)
    if reason is None:
        return fileio.join_path(prefix, name) if prefix else name
    path = os.path.normpath(os.path.join(prefix, name))
    if any(_is_below(path, root) for root in allowed_roots) and reason.startswith(("is an absolute", "leads")):
        return path
    raise ValueError(f"{source}: file name {name!r} {reason}. {_HOW_TO_ALLOW}")


def _is_below(path: str, root: str) -> bool:
    parent, path = os.path.abspath(root), os.path.abspath(path)
    return os.path.commonpath([parent, path]) == parent
