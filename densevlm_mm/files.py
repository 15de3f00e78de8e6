"""Files that are whole or absent: whatever this package writes, a reader never meets half of it."""

import errno
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_PARTIAL = ".partial"
_DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS, errno.EACCES, errno.EPERM)
_FULL_DISK_WORDS = ("No space left on device", "PytorchStreamWriter failed writing", "unexpected pos")


@contextmanager
def atomic_write(path: str | Path) -> Iterator[Path]:
    """Let a block write a file beside ``path``, and put it in its place when the block has ended well.

    The content is on the disk before the name is: a crash at any moment leaves the old file or the new one. When the
    block fails, nothing is left behind. Folders are made when they are missing.

    Args:
        path: The file. One that exists is replaced, its symbolic link is not followed.

    Yields:
        The path to write to, in the same folder, with the same suffix.

    Raises:
        OSError: If the file cannot be written; names it, how much was written, and the free space.

    Example:
        >>> with atomic_write("weights/encoder.safetensors") as partial:
        ...     save_file(tensors, partial)
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.stem}.{secrets.token_hex(4)}{_PARTIAL}{path.suffix}")
    try:
        yield partial
        _flush(partial)
        os.replace(partial, path)
        _flush(path.parent)
    except Exception as error:
        reason = _disk_error(error)
        if reason is None:
            raise
        raise OSError(reason, _explained(reason, path, partial)) from error
    finally:
        partial.unlink(missing_ok=True)


def write_text(path: str | Path, text: str) -> None:
    """Write a text file, UTF-8, whole or not at all; see :func:`atomic_write`."""
    with atomic_write(path) as partial:
        partial.write_text(text, encoding="utf-8")


def remove_partial_files(folder: str | Path) -> list[Path]:
    """Remove what writers that were killed left in a folder (not below it).

    Only for a folder that nobody else is writing to.

    Returns:
        The removed files.
    """
    found = [path for path in Path(folder).glob(f".*{_PARTIAL}*") if path.is_file()]
    for path in found:
        path.unlink(missing_ok=True)
    return found


def _flush(path: Path) -> None:
    """Wait until a file's content, or a folder's list of names, is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _disk_error(error: Exception) -> int | None:
    """The errno of an error of the disk; None for any other."""
    if isinstance(error, OSError) and error.errno in _DISK_ERRORS:
        return error.errno
    # safetensors and torch.save have their own exceptions, which only their words tell apart.
    return errno.ENOSPC if any(words in str(error) for words in _FULL_DISK_WORDS) else None


def _explained(reason: int, path: Path, partial: Path) -> str:
    written = partial.stat().st_size if partial.exists() else 0
    free = shutil.disk_usage(path.parent).free
    return (
        f"{path} could not be written: {os.strerror(reason)} (after {written / 2**20:.1f} MiB; the disk has "
        f"{free / 2**20:.1f} MiB free)"
    )
