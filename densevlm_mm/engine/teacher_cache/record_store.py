"""Records by key in files that any number of processes append to at once, without a lock."""

import logging
import os
import secrets
import struct
import zlib
from collections import OrderedDict
from pathlib import Path

import numpy as np
from mmengine.logging import print_log

from densevlm_mm.engine.teacher_cache.place_index import PlaceIndex

_HEADER = struct.Struct("<16sII")  # key, length of the payload, CRC-32 of key and payload
_ENTRY = np.dtype([("hash", "<u8"), ("offset", "<u8")])
_OFFSET_BITS = 44  # of a place: 16 TiB a file, a million files
_MOST_OPEN = 64


class RecordStore:
    """A map from 16-byte keys to bytes in a folder, for many processes on many machines.

    LMDB, SQLite and HDF5 have one writer and a lock, which network file systems do not keep and dead processes leave
    behind. Here every process appends to a pair of files of its own: ``<random>.records``, each record with its key,
    length and checksum, and ``<random>.index`` with hash and offset of every record, written after it. So a record is
    complete or absent whenever the process dies, and what cannot be read is absent too. Two records of one key are
    equal by construction, and either will do.

    What other processes have written is seen after :meth:`refresh`. Nothing is loaded whole: the index takes 16 bytes
    a record of memory, records are read one by one.

    Args:
        folder: Where the files are; need not exist.

    Attributes:
        num_damaged: Lookups that met nothing but damaged records.
        num_unwritten: Records that could not be written.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self.num_damaged = 0
        self.num_unwritten = 0
        self._index = PlaceIndex()
        self._shards: list[str] = []
        self._consumed: dict[str, int] = {}  # bytes of each index file that are in the index
        self._readers: OrderedDict[int, int] = OrderedDict()
        self._writer: ShardWriter | None = None
        self.refresh()

    def __len__(self) -> int:
        """Number of keys."""
        return self._index.num_hashes()

    def __contains__(self, key: bytes) -> bool:
        """Whether there is a record, which may turn out to be damaged."""
        return bool(self._index.find(_hash(key)))

    def refresh(self) -> None:
        """Take note of what has been written since, by other processes too."""
        if not self.folder.is_dir():
            return
        others = (path for path in sorted(self.folder.glob("*.index")) if path.stem != self._own_name())
        new = [self._new_entries(path) for path in others]
        if new:
            self._index.extend(*(np.concatenate(parts) for parts in zip(*new, strict=True)))

    def _own_name(self) -> str | None:
        return None if self._writer is None else self._writer.name

    def _new_entries(self, path: Path) -> tuple[np.ndarray, np.ndarray]:
        """Hashes and places that were added to an index file since it was last read."""
        consumed = self._consumed.get(path.stem, 0)
        # A process that was killed, or is writing, may leave a part of an entry at the end.
        count = max(0, path.stat().st_size - consumed) // _ENTRY.itemsize
        entries = np.fromfile(path, dtype=_ENTRY, count=count, offset=consumed)
        places = entries["offset"] | np.uint64(self._shard_number(path.stem) << _OFFSET_BITS)
        self._consumed[path.stem] = consumed + entries.nbytes
        return entries["hash"], places

    def _shard_number(self, name: str) -> int:
        if name not in self._shards:
            self._shards.append(name)
        return self._shards.index(name)

    def read(self, key: bytes) -> bytes | None:
        """Read the record of a key.

        Returns:
            The record, or None if there is none that can be read.
        """
        places = self._index.find(_hash(key))
        reason = ""
        for place in places:
            number, offset = place >> _OFFSET_BITS, place & ((1 << _OFFSET_BITS) - 1)
            try:
                return self._read_at(number, offset, key)
            except (OSError, ValueError) as error:
                reason = f"{self.folder / self._shards[number]}.records at byte {offset}: {error}"
        if places:
            self.num_damaged += 1
            if self.num_damaged == 1:
                _warn(f"a record of the teacher cache cannot be read and is computed again ({reason})")
        return None

    def _read_at(self, number: int, offset: int, key: bytes) -> bytes:
        file = self._reader(number)
        header = os.pread(file, _HEADER.size, offset)
        if len(header) < _HEADER.size:
            raise ValueError("the file ends before it")
        found, length, checksum = _HEADER.unpack(header)
        if found != key:
            raise ValueError("another record is there")
        if offset + _HEADER.size + length > os.fstat(file).st_size:  # a damaged length may be gigabytes
            raise ValueError("the file ends before it does")
        payload = os.pread(file, length, offset + _HEADER.size)
        if len(payload) != length or zlib.crc32(payload, zlib.crc32(key)) != checksum:
            raise ValueError("it does not have its checksum")
        return payload

    def _reader(self, number: int) -> int:
        if number not in self._readers:
            path = self.folder / f"{self._shards[number]}.records"
            self._readers[number] = os.open(path, os.O_RDONLY)
            if len(self._readers) > _MOST_OPEN:
                os.close(self._readers.popitem(last=False)[1])
        self._readers.move_to_end(number)
        return self._readers[number]

    def write(self, key: bytes, payload: bytes) -> None:
        """Append a record. When that is impossible (the disk is full, read-only), say so once and write no more."""
        if self.num_unwritten == 0:
            try:
                if self._writer is None:
                    self._writer = ShardWriter(self.folder)
                    self._shards.append(self._writer.name)
                offset = self._writer.append(key, payload)
                self._index.add(_hash(key), self._shards.index(self._writer.name) << _OFFSET_BITS | offset)
                return
            except OSError as error:
                _warn(f"the teacher cache {self.folder} cannot be written: {error}. The run goes on and writes no more")
        self.num_unwritten += 1

    def close(self) -> None:
        """Close all files."""
        while self._readers:
            os.close(self._readers.popitem()[1])
        if self._writer is not None:
            self._writer.close()


class ShardWriter:
    """The pair of files that one process appends to; see :class:`RecordStore`.

    Args:
        folder: Made when it does not exist.

    Raises:
        OSError: If the files cannot be made.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.name = secrets.token_hex(8)
        # Unbuffered: what has been appended outlives the process, and an error belongs to the record that met it.
        self._records = open(folder / f"{self.name}.records", "xb", buffering=0)  # noqa: SIM115
        self._index = open(folder / f"{self.name}.index", "xb", buffering=0)  # noqa: SIM115

    def append(self, key: bytes, payload: bytes) -> int:
        """Write a record, then its entry in the index.

        Returns:
            The record's offset in the file.

        Raises:
            OSError: If it cannot be written. The files are then spoiled at their ends, and must not be appended to.
        """
        offset = self._records.tell()
        header = _HEADER.pack(key, len(payload), zlib.crc32(payload, zlib.crc32(key)))
        _write_whole(self._records, header + payload)
        _write_whole(self._index, np.array([(_hash(key), offset)], dtype=_ENTRY).tobytes())
        return offset

    def close(self) -> None:
        """Close the files."""
        self._records.close()
        self._index.close()


def _write_whole(file: object, content: bytes) -> None:
    view = memoryview(content)
    while view:  # an unbuffered file may write a part; the next call then says why
        view = view[file.write(view) :]  # type: ignore[attr-defined]


def _hash(key: bytes) -> int:
    return int.from_bytes(key[:8], "little")


def _warn(message: str) -> None:
    print_log(message, "current", logging.WARNING)
