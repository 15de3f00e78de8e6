"""Where records are, in sixteen bytes a record."""

import numpy as np

_MOST_RECENT = 65_536


class PlaceIndex:
    """A map from 64-bit hashes to 64-bit places; a hash may have several.

    Sorted arrays, and a dict of what came last: 160 MB for ten million records, where a dict of all would take over
    a gigabyte.
    """

    def __init__(self) -> None:
        self._hashes = np.empty(0, dtype=np.uint64)
        self._places = np.empty(0, dtype=np.uint64)
        self._recent: dict[int, list[int]] = {}
        self._num_recent = 0

    def add(self, key_hash: int, place: int) -> None:
        """Add one place."""
        self._recent.setdefault(key_hash, []).append(place)
        self._num_recent += 1
        if self._num_recent >= _MOST_RECENT:
            hashes = [key for key, places in self._recent.items() for _ in places]
            places = [place for places in self._recent.values() for place in places]
            self._recent, self._num_recent = {}, 0
            self.extend(np.array(hashes, dtype=np.uint64), np.array(places, dtype=np.uint64))

    def extend(self, hashes: np.ndarray, places: np.ndarray) -> None:
        """Add many places at once, (N,) uint64 each."""
        hashes = np.concatenate([self._hashes, hashes])
        order = hashes.argsort(kind="stable")
        self._hashes = hashes[order]
        self._places = np.concatenate([self._places, places])[order]

    def find(self, key_hash: int) -> list[int]:
        """The places of a hash, those added last first."""
        first, last = (np.searchsorted(self._hashes, np.uint64(key_hash), side) for side in ("left", "right"))
        return [*reversed(self._recent.get(key_hash, ())), *map(int, self._places[first:last][::-1])]

    def num_hashes(self) -> int:
        """Number of distinct hashes."""
        return len(np.union1d(self._hashes, np.fromiter(self._recent, dtype=np.uint64)))
