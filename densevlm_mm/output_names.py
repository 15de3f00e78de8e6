"""What result files are called: after the image's place below the folder that the user gave, each its own name.

Pictures, label maps and records of two images never share a name (``a/1.jpg`` and ``b/1.jpg``, ``1.jpg`` and
``1.png``, ``A.jpg`` and ``a.jpg`` on a disk that ignores case), and no name leads out of the folder of the results.
:class:`~densevlm_mm.engine.OutputNameHook` gives every tested image its name, as the meta information ``output_name``;
whoever writes a file asks an :class:`OutputFolder` where.
"""

import hashlib
import os
import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from pathlib import Path, PurePath, PurePosixPath
from typing import Any

# Of a file system's 255 bytes, so that suffixes and the writer's temporary names fit too.
_MAX_PART_BYTES = 180
_MAX_NAME_BYTES = 1000
_WRITTEN_SUFFIXES = (".png", ".jpg", ".json", ".jsonl")
# What Windows does not take in a name, control characters, and the lone surrogates that Python makes of bytes that are
# no UTF-8; and the names of its devices. (pathvalidate does the same in 200 microseconds a name, 50,000 names wait.)
_HOSTILE = re.compile(r'[<>:"/\\|?*\x00-\x1f\x7f\ud800-\udfff]')
_DEVICE = re.compile(r"(con|prn|aux|nul|conin\$|conout\$|clock\$|com[0-9¹²³]|lpt[0-9¹²³])(?=\.|$)", re.IGNORECASE)


def output_names(paths: Sequence[str], root: str | None = None) -> list[str]:
    """Name the results of images.

    A name is the path below ``root``, or all of it for an image elsewhere, without suffix. Where several images would
    have the same, all of these keep their suffixes; where that does not tell them apart, they get a digest of the path.
    Characters that a file system or Windows does not take become ``_``.

    Args:
        paths: Different paths or URIs of images.
        root: Folder that the user named; None: the deepest one that holds all images.

    Returns:
        Relative names with ``/``, without suffix, different also in a file system that ignores case and Unicode's
        normal forms; in the order of ``paths``.

    Raises:
        ValueError: If a path is given twice.

    Example:
        >>> output_names(["day/1.jpg", "day/2.jpg", "day/2.png", "day/b/1.jpg"], root="day")
        ['1', '2.jpg', '2.png', 'b/1']
    """
    if len(set(paths)) < len(paths):
        raise ValueError(f"{Counter(paths).most_common(1)[0][0]} is listed twice: each image has one name")
    root = common_root([os.path.dirname(path) for path in paths]) if root is None else root
    whole = [_relative(path, root) for path in paths]
    without_suffix = [(*parts[:-1], PurePosixPath(parts[-1]).stem) for parts in whole]
    with_digest = [
        (*parts[:-1], f"{parts[-1]}~{_digest(path)}") for parts, path in zip(without_suffix, paths, strict=True)
    ]
    names: dict[int, str] = {}
    taken: set[str] = set()
    for candidates in (without_suffix, whole, with_digest):
        open_names = {i: _joined(parts) for i, parts in enumerate(candidates) if i not in names}
        counts = Counter(map(_folded, open_names.values()))
        for i, name in open_names.items():
            if counts[_folded(name)] == 1 and _folded(name) not in taken:
                names[i] = name
        taken.update(_folded(names[i]) for i in open_names if i in names)
    return [names[i] for i in range(len(paths))]


class OutputFolder:
    """Where the results of images go.

    Args:
        folder: The folder; made when a file is written.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self._stems: dict[str, str] = {}

    def path(self, sample: Any, suffix: str) -> Path:
        """File for an image's result.

        Args:
            sample: Dict or data element with ``output_name``, or else with ``img_path``, whose stem is then the name.
            suffix: What the file's name ends with, such as ``".png"``.

        Raises:
            ValueError: If the name leads out of the folder, or if the stem is that of another image.
        """
        name = sample.get("output_name", None)
        if name is None:
            name = self._stem(str(sample.get("img_path")))
        parts = PurePosixPath(name).parts
        if not parts or PurePosixPath(name).is_absolute() or ".." in parts:
            raise ValueError(f"output_name {name!r} is no relative path below {self.folder}")
        return self.folder.joinpath(*parts[:-1], parts[-1] + suffix)

    def _stem(self, img_path: str) -> str:
        stem = PurePosixPath(*output_names([img_path])).name
        other = self._stems.setdefault(_folded(stem), img_path)
        if other != img_path:
            raise ValueError(
                f"the results of {other} and {img_path} would both be called {stem!r}: add custom_hooks="
                "[dict(type='densevlm_mm.OutputNameHook')] to the config, which names them by their folders"
            )
        return stem


def common_root(folders: Sequence[str]) -> str:
    """The deepest folder that holds all of these; empty if none does (URIs, drives of Windows)."""
    if any("://" in folder for folder in folders):
        return ""
    try:
        return os.path.commonpath([os.path.abspath(folder) for folder in folders])
    except ValueError:
        return ""


def flat_name(name: str) -> str:
    """The name in one part, for stores without folders; names in different folders stay different."""
    return name if "/" not in name else f"{_shortened(name.replace('/', '_'))}~{_digest(name)}"


def _relative(path: str, root: str) -> tuple[str, ...]:
    """Safe parts of the path below ``root``; of the path as it is where it lies elsewhere."""
    parts = PurePath(os.path.normpath(path)).parts
    if root and (given := PurePath(_absolute(path))).is_relative_to(folder := PurePath(_absolute(root))):
        parts = given.relative_to(folder).parts
    kept = [part for part in parts if part not in (".", "..") and part != PurePath(part).anchor]
    *folders, name = kept or [""]
    return (*map(_safe_folder, folders), _safe(name))


def _absolute(path: str) -> str:
    return os.path.normpath(path) if "://" in path else os.path.abspath(path)


def _joined(parts: Sequence[str]) -> str:
    name = "/".join(parts)
    if len(name.encode()) > _MAX_NAME_BYTES:  # paths have a limit too, which the user's folder shares
        name = f"~{_digest('/'.join(parts[:-1]))}/{parts[-1]}"
    return name


def _safe(part: str) -> str:
    """A part that every file system takes."""
    clean = _HOSTILE.sub("_", _shortened(part)).strip(" ").rstrip(". ")
    return _DEVICE.sub(r"\1_", clean, count=1) if _DEVICE.match(clean) else clean or "_"


def _safe_folder(part: str) -> str:
    """A folder that cannot be called as the file of another image's result."""
    safe = _safe(part)
    return f"{safe}_" if safe.lower().endswith(_WRITTEN_SUFFIXES) else safe


def _shortened(part: str) -> str:
    encoded = part.encode(errors="surrogateescape")
    if len(encoded) <= _MAX_PART_BYTES:
        return part
    suffix = PurePosixPath(part).suffix[:8]
    kept = encoded[: _MAX_PART_BYTES - 30].decode(errors="ignore")
    return f"{kept}~{_digest(part)}{suffix}"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()[:8]


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()
