"""What is where in a set of tar shards, without anything of it in memory."""

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
from braceexpand import braceexpand

from densevlm_mm.datasets.annotations.image_names import unsafe_reason
from densevlm_mm.files import atomic_write, write_text

# The listing is that of the wids library, whose tools and readers take it as well.
KIND = "wids-shard-index-v1"
_HOW_TO_MAKE = "Make it with: python tools/dataset_converters/images_to_shards.py index 'SHARDS'"


@dataclass(frozen=True)
class Member:
    """An image of a shard.

    Attributes:
        shard: The shard as the index lists it.
        name: The image's name in it.
        offset: Where its content begins.
        size: Bytes of the content.
        mtime: Time of modification that the shard gives it, in seconds.
    """

    shard: str
    name: str
    offset: int
    size: int
    mtime: int

    @property
    def path(self) -> str:
        """Shard and name as one path."""
        return f"{self.shard}/{self.name}"


class ShardIndex:
    """The index of a set of shards, or of some of them, read from its two files.

    The ``.json`` lists the shards; beside it a table of all images, which is memory-mapped. Copies and pickles open the
    files again.

    Args:
        path: The ``.json``.
        shards: Which shards, names with braces: ``'sa_{000000..000099}.tar'``; default: all.

    Attributes:
        names: Of the shards, as listed: relative to wherever the shards are, or addresses.
        lengths: (N,) int64, images of each shard.
        file_sizes: (N,) int64, bytes of each shard.

    Raises:
        FileNotFoundError: If there is no such index.
        ValueError: If it is no index, does not have the shards, or names files outside of their folder.
    """

    def __init__(self, path: str | Path, shards: str | None = None) -> None:
        self.path = Path(path)
        self.shards = shards
        if not self.path.is_file():
            raise FileNotFoundError(f"there is no index of shards {path}. {_HOW_TO_MAKE}")
        listing = _read_listing(self.path)
        entries = listing["shardlist"]
        lengths, sizes, widths = (
            np.array([entry[key] for entry in entries], dtype=np.int64) for key in ("nsamples", "filesize", "rowsize")
        )
        names = [entry["url"] for entry in entries]
        for name in (listing["members"], *names):
            reason = unsafe_reason(name)
            if reason not in (None, "is an address"):
                raise ValueError(f"{path}: the name {name!r} {reason}. {_HOW_TO_MAKE}")
        self._table = _open_table(self.path.parent / listing["members"], int((lengths * widths).sum()), self.path)
        chosen = np.arange(len(names)) if shards is None else _choose(names, shards, self.path)
        self.names = [names[row] for row in chosen]
        self.lengths, self.file_sizes, self._widths = lengths[chosen], sizes[chosen], widths[chosen]
        self._begins = ((lengths * widths).cumsum() - lengths * widths)[chosen]
        self._ends = self.lengths.cumsum()

    def __reduce__(self) -> tuple:
        """Pickle the paths, not the table."""
        return ShardIndex, (self.path, self.shards)

    def __len__(self) -> int:
        """Number of images."""
        return int(self._ends[-1])

    def place(self, index: int) -> tuple[int, int]:
        """Tell where an image is.

        Args:
            index: Of the image, from 0.

        Returns:
            Number of its shard, and its number within the shard.

        Raises:
            IndexError: If there are fewer images.
        """
        if not 0 <= index < len(self):
            raise IndexError(f"image {index} of {len(self)}")
        shard = int(np.searchsorted(self._ends, index, side="right"))
        return shard, int(index - (self._ends[shard] - self.lengths[shard]))

    def member(self, index: int) -> Member:
        """Describe an image; the arguments are those of :meth:`place`."""
        shard, number = self.place(index)
        width = int(self._widths[shard])
        begin = int(self._begins[shard]) + number * width
        row = self._table[begin : begin + width].view(row_type(width - row_type(0).itemsize))[0]
        # Names in a tar are bytes of any encoding.
        name = row["name"].decode("utf-8", "surrogateescape")
        return Member(self.names[shard], name, int(row["offset"]), int(row["size"]), int(row["mtime"]))

    @cached_property
    def digest(self) -> int:
        """A check sum of the shards' names and lengths: what an order of the images depends on."""
        return crc32(json.dumps([self.names, self.lengths.tolist()]).encode())


def row_type(name_length: int) -> np.dtype:
    """The row of an image in the table, with room for its name: so many bytes, UTF-8."""
    return np.dtype([("offset", "<u8"), ("size", "<u8"), ("mtime", "<u8"), ("name", f"S{name_length}")])


def write_index(path: str | Path, names: Sequence[str], shards: Iterable[tuple[int, np.ndarray]]) -> int:
    """Write an index, shard by shard as they come.

    Args:
        path: The ``.json``; the table goes beside it.
        names: Of the shards.
        shards: For each its bytes and its images, (N,) of :func:`row_type`.

    Returns:
        Number of images.

    Raises:
        ValueError: If there is no image, or a shard comes twice.
    """
    path = Path(path)
    repeated = [name for name, times in Counter(names).items() if times > 1]
    if repeated:
        raise ValueError(f"the shard {repeated[0]} is listed twice")
    entries, checksum, total = [], 0, 0
    building = path.with_name(f"{path.stem}-building.members")
    with atomic_write(building) as partial, partial.open("wb") as file:
        for name, (file_size, rows) in zip(names, shards, strict=True):
            content = rows.tobytes()
            file.write(content)
            checksum = crc32(content, checksum)
            total += len(rows)
            entries.append(dict(url=name, nsamples=len(rows), filesize=file_size, rowsize=rows.dtype.itemsize))
        if total == 0:
            raise ValueError(f"no image in {len(names)} shards: {', '.join(names[:3])}")
    # The listing goes last and names its table, so that an index that is made again replaces the old one at once.
    members = path.with_name(f"{path.stem}-{checksum:08x}.members")
    building.replace(members)
    write_text(path, json.dumps(dict(__kind__=KIND, wids_version=1, members=members.name, shardlist=entries), indent=1))
    for old in path.parent.glob(f"{path.stem}-????????.members"):
        if old != members:
            old.unlink()
    return total


def _open_table(table: Path, num_bytes: int, listing: Path) -> np.ndarray:
    try:
        content = np.memmap(table, dtype=np.uint8, mode="r")
    except (OSError, ValueError) as error:
        raise ValueError(f"the table of images {table}, which {listing} names, cannot be read: {error}") from error
    if len(content) != num_bytes:
        raise ValueError(f"{table} has {len(content)} bytes, {listing} wants {num_bytes}. {_HOW_TO_MAKE}")
    return content


def _read_listing(path: Path) -> dict[str, Any]:
    try:
        listing = json.loads(path.read_text(encoding="utf-8"))
        complete = all({"url", "nsamples", "filesize", "rowsize"} <= set(entry) for entry in listing["shardlist"])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path} is no index of shards ({error!r}). {_HOW_TO_MAKE}") from error
    if not complete or not listing["shardlist"] or "members" not in listing:
        raise ValueError(f"{path} lists shards without their images. {_HOW_TO_MAKE}")
    return listing


def _choose(names: list[str], pattern: str, path: Path) -> np.ndarray:
    rows = {name: row for row, name in enumerate(names)}
    wanted = list(dict.fromkeys(braceexpand(pattern)))
    missing = [name for name in wanted if name not in rows]
    if missing:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise ValueError(
            f"{path} has {len(names)} shards, {names[0]} to {names[-1]}, and not {missing[0]}{more} of {pattern}: "
            f"fetch them and index all again, or choose others. {_HOW_TO_MAKE}"
        )
    return np.array([rows[name] for name in wanted])
