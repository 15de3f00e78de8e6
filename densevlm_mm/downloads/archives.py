"""Taking a file or folder out of an archive, whole or not at all."""

import os
import shutil
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import IO

from tqdm import tqdm

from densevlm_mm.files import atomic_write


def unpack(archive: str | Path, member: Sequence[str], target: str | Path) -> Path:
    """Take one file or folder out of a zip or tar archive.

    Args:
        archive: The archive.
        member: Path in it, of a folder with a slash at the end; the members before the last are archives themselves.
        target: The file or folder to make; a folder that exists is left as it is.

    Returns:
        ``target``.

    Raises:
        ValueError: If the archive is damaged, has no such member, or a path in it leads out of the folder.
    """
    archive, target = Path(archive), Path(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        if len(member) > 1:
            with tempfile.TemporaryDirectory(dir=target.parent) as folder:
                inner = unpack(archive, member[:1], Path(folder) / PurePosixPath(member[0]).name)
                return unpack(inner, member[1:], target)
        if member[0].endswith("/"):
            _unpack_folder(archive, member[0], target)
        else:
            with atomic_write(target) as partial, partial.open("wb") as file:
                _copy(archive, member[0], file)
    except (zipfile.BadZipFile, tarfile.TarError, zlib.error, EOFError) as error:
        raise ValueError(f"{archive} is damaged ({error}): delete it and fetch it again") from error
    return target


def _copy(archive: Path, member: str, file: IO[bytes]) -> None:
    for name, stream in _files(archive, only=member):
        if name == member:
            shutil.copyfileobj(stream, file)
            return
    raise ValueError(f"{archive} has no {member}")


def _unpack_folder(archive: Path, prefix: str, target: Path) -> None:
    if target.exists():
        return
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}.") as folder:
        made = Path(folder) / target.name
        count = 0
        for name, stream in _files(archive):
            if not name.startswith(prefix):
                continue
            inner = PurePosixPath(name.removeprefix(prefix))
            if inner.is_absolute() or ".." in inner.parts:
                raise ValueError(f"{archive} is refused: its member {name!r} leads out of the folder")
            (made / inner).parent.mkdir(parents=True, exist_ok=True)
            with (made / inner).open("wb") as file:
                shutil.copyfileobj(stream, file)
            count += 1
        if not count:
            raise ValueError(f"{archive} has no folder {prefix}")
        os.replace(made, target)


def _files(archive: Path, only: str | None = None) -> Iterator[tuple[str, IO[bytes]]]:
    """The files of an archive (no links, no devices) with their content."""
    if tarfile.is_tarfile(archive):
        with tarfile.open(archive) as tar:
            for entry in tqdm(tar, desc=archive.name, unit=" files"):
                stream = tar.extractfile(entry) if entry.isfile() else None
                if stream is not None:
                    yield entry.name.removeprefix("./"), stream
        return
    with zipfile.ZipFile(archive) as file:
        entries = [entry for entry in file.infolist() if not entry.is_dir() and only in (None, entry.filename)]
        for entry in tqdm(entries, desc=archive.name, unit=" files"):
            with file.open(entry) as stream:
                yield entry.filename, stream
