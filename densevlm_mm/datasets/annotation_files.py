"""Reading the JSON annotation files, with errors that say which file is wrong and how."""

from collections.abc import Sequence
from typing import Any

from mmengine import fileio


def load_annotation_json(path: str, what: str, keys: Sequence[str], backend_args: dict | None = None) -> dict[str, Any]:
    """Load an annotation file that must be a JSON object with certain lists in it.

    Args:
        path: path or URI.
        what: what the file is, for the error.
        keys: lists that it must hold.
        backend_args: arguments of mmengine's file backend.

    Returns:
        The parsed file.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no JSON, or misses a key.
    """
    require_existing(path, what, backend_args)
    try:
        content = fileio.load(path, file_format="json", backend_args=backend_args)
    except ValueError as error:
        raise ValueError(f"{what} {path} is not valid JSON ({error}): fetch or convert it again") from error
    missing = [key for key in keys if not isinstance(content, dict) or not isinstance(content.get(key), list)]
    if missing:
        found = sorted(content) if isinstance(content, dict) else type(content).__name__
        raise ValueError(f"{what} {path} has no {missing[0]!r} list, only {found}: is it the right file?")
    return content


def require_existing(path: str, what: str, backend_args: dict | None = None) -> None:
    """Check that a file or folder is there.

    Args:
        path: path or URI.
        what: what it is, for the error.
        backend_args: arguments of mmengine's file backend.

    Raises:
        FileNotFoundError: it is not.
    """
    if not fileio.exists(path, backend_args=backend_args):
        raise FileNotFoundError(f"{what} {path} does not exist: check data_root, data_prefix and the file names")
