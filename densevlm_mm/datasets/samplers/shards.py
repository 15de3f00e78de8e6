"""An order of the images of tar shards in which few shards are read at a time."""

from collections.abc import Iterator, Sized
from typing import Any

import numpy as np

from densevlm_mm.datasets.samplers.resumable import ResumableSampler
from densevlm_mm.registry import DATA_SAMPLERS

_CHUNK = 4096  # places that are looked up at once


@DATA_SAMPLERS.register_module()
class ShardSampler(ResumableSampler):
    """Like :class:`ResumableSampler`, for a :class:`ShardedImages`: shards shuffled, and the images of each.

    The shards of an epoch are dealt to streams; a stream reads one shard after the other, each in an order of its own,
    and the streams take turns. So neighbours in a batch are of different shards, and as many shards are read at a time
    as there are streams. The order depends on (seed, epoch), the shards and the number of streams. As long as no stream
    has ended, with a number of streams that is a multiple of that of processes, every shard is read by one process
    alone; with fewer streams than shards that holds for most of an epoch.

    Memory is that of the list of shards and of one order for each stream, whatever the number of images.

    Args:
        dataset: A :class:`ShardedImages`, perhaps in a :class:`SeededDataset`.
        shuffle: Whether to shuffle, anew in each epoch.
        seed: Of the order, see :class:`ResumableSampler`.
        num_streams: Shards that are read side by side; of fewer shards, all are.

    Attributes:
        order_facts: What the order depends on beside the seed; kept in checkpoints.

    Raises:
        ValueError: If the data set has no shards, `num_streams` is not positive, or there are fewer images than
            processes.
    """

    def __init__(self, dataset: Sized, shuffle: bool = True, seed: int | None = None, num_streams: int = 64) -> None:
        if num_streams < 1:
            raise ValueError(f"num_streams must be at least 1, not {num_streams}")
        source: Any = dataset
        while not hasattr(source, "shard_lengths") and hasattr(source, "dataset"):
            source = source.dataset
        if not hasattr(source, "shard_lengths"):
            raise ValueError(f"{type(source).__name__} has no shards: use ShardedImages, or the ResumableSampler")
        self.lengths: np.ndarray = np.asarray(source.shard_lengths)
        self.num_streams = num_streams
        super().__init__(dataset, shuffle, seed)
        self.order_facts = f"{num_streams} streams, shards {getattr(source, 'order_digest', 0):08x}"

    def _indices(self, position: int) -> Iterator[int]:
        end = len(self)
        order = StreamOrder(self.lengths, self.num_streams, self.seed, self.epoch) if self.shuffle else None
        for start in range(position, end, _CHUNK):
            places = self.rank + self.world_size * np.arange(start, min(start + _CHUNK, end))
            yield from (places if order is None else order.indices(places)).tolist()


class StreamOrder:
    """The order of an epoch, of which any part can be asked for.

    Args:
        lengths: (N,) images of each shard.
        num_streams: Shards that are read side by side.
        seed: Of the run.
        epoch: From 0.
    """

    def __init__(self, lengths: np.ndarray, num_streams: int, seed: int, epoch: int) -> None:
        self._lengths = lengths
        self._firsts = lengths.cumsum() - lengths
        self._entropy = (seed, epoch)
        shards = _shuffled(len(lengths), *self._entropy)
        self._shards = [shards[stream::num_streams] for stream in range(min(num_streams, len(shards)))]
        self._ends = [lengths[own].cumsum() for own in self._shards]
        self._of_shard: dict[int, tuple[int, np.ndarray]] = {}
        totals = np.array([ends[-1] for ends in self._ends])
        # Rounds between the ends of two streams have the same streams taking turns.
        self._rounds = np.unique(np.concatenate([[0], totals]))[:-1]
        self._alive = [np.flatnonzero(totals > first) for first in self._rounds]
        widths = np.array([len(alive) for alive in self._alive])
        lasting = np.diff(np.append(self._rounds, totals.max()))
        self._starts = (widths * lasting).cumsum() - widths * lasting

    def indices(self, places: np.ndarray) -> np.ndarray:
        """Indices of the images at some places of the order."""
        found = np.empty(len(places), dtype=np.int64)
        parts = np.searchsorted(self._starts, places, side="right") - 1
        for part in np.unique(parts):
            mine = np.flatnonzero(parts == part)
            alive = self._alive[part]
            rounds, turns = np.divmod(places[mine] - self._starts[part], len(alive))
            for turn in np.unique(turns):
                chosen = turns == turn
                found[mine[chosen]] = self._of_stream(int(alive[turn]), self._rounds[part] + rounds[chosen])
        return found

    def _of_stream(self, stream: int, numbers: np.ndarray) -> np.ndarray:
        """Indices of the images that a stream reads as its ``numbers``-th ones."""
        found = np.empty(len(numbers), dtype=np.int64)
        turns = np.searchsorted(self._ends[stream], numbers, side="right")
        for turn in np.unique(turns):
            shard = int(self._shards[stream][turn])
            first = self._ends[stream][turn] - self._lengths[shard]
            chosen = turns == turn
            found[chosen] = self._firsts[shard] + self._order(stream, shard)[numbers[chosen] - first]
        return found

    def _order(self, stream: int, shard: int) -> np.ndarray:
        if self._of_shard.get(stream, (-1,))[0] != shard:
            self._of_shard[stream] = shard, _shuffled(int(self._lengths[shard]), *self._entropy, 1 + shard)
        return self._of_shard[stream][1]


def _shuffled(length: int, *entropy: int) -> np.ndarray:
    # RandomState, as in ResumableSampler: its streams never change.
    return np.random.RandomState(np.random.MT19937(np.random.SeedSequence(entropy))).permutation(length)
