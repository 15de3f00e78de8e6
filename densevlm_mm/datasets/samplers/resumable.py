"""A sampler that can start in the middle of an epoch and does not depend on the number of processes."""

from collections.abc import Iterable, Iterator, Sized

import numpy as np
from mmengine.dist import get_dist_info, sync_random_seed
from torch.utils.data import Sampler

from densevlm_mm.registry import DATA_SAMPLERS


class SampleIndex(int):
    """A dataset index that knows the epoch and the seed it was drawn with.

    With persistent workers a data set's copy in a worker never hears of a new epoch, so the epoch travels with the
    index.

    Attributes:
        epoch: Epoch it is drawn in, from 0.
        seed: Seed of the sampler that drew it.
    """

    epoch: int
    seed: int

    def __new__(cls, value: int, epoch: int = 0, seed: int = 0) -> "SampleIndex":
        """Make the index."""
        index = super().__new__(cls, value)
        index.epoch = epoch
        index.seed = seed
        return index

    def __getnewargs__(self) -> tuple[int, int, int]:  # type: ignore[override]
        """Arguments with which pickle makes the index again in a worker process."""
        return int(self), self.epoch, self.seed

    def __repr__(self) -> str:
        """Show the index with its epoch and seed."""
        return f"SampleIndex({int(self)}, epoch={self.epoch}, seed={self.seed})"


@DATA_SAMPLERS.register_module()
class ResumableSampler(Sampler[SampleIndex]):
    """Shuffled (or plain) indices of this rank's samples, with a position to resume at.

    Rank ``r`` of ``W`` gets ``order[r::W]`` of the epoch's order, so that the union over the ranks of batch ``i`` is
    the same set for one process with batch ``W * b`` as for ``W`` processes with batch ``b``. The tail of
    ``len(dataset) % W`` samples is left out (a different one each epoch when shuffling), so that all ranks are even;
    use ``drop_last=True`` in the loader for the batches too. The order of an epoch depends on ``(seed, epoch)`` and
    the length of the data set only.

    Args:
        dataset: Anything with a length.
        shuffle: Whether to shuffle, anew in each epoch.
        seed: Seed of the order, the same on all ranks. ``None`` follows the run: our training loops set the runner's
            seed, which a checkpoint keeps; without them one is drawn that all ranks share.
        shard: ``(i, n)`` keeps every n-th sample of each epoch's order, from the i-th on, and leaves the others to
            nobody. For reproducing a run that learned from a part of its processes only.

    Raises:
        ValueError: The data set has fewer samples than there are processes, or the shard is impossible.

    Example:
        >>> sampler = ResumableSampler(range(10), seed=0)
        >>> sampler.set_epoch(3)
        >>> sampler.set_position(8)
        >>> [int(index) for index in sampler] == [int(index) for index in sampler][8:]
        True
    """

    def __init__(
        self, dataset: Sized, shuffle: bool = True, seed: int | None = None, shard: tuple[int, int] = (0, 1)
    ) -> None:
        self.rank, self.world_size = get_dist_info()
        self.dataset = dataset
        self.shuffle = shuffle
        self.follows_run = seed is None
        self.seed = sync_random_seed() if seed is None else seed
        self.shard = tuple(shard)
        if len(self.shard) != 2 or not 0 <= self.shard[0] < self.shard[1]:
            raise ValueError(f"shard must be (i, n) with 0 <= i < n, not {shard}")
        self.epoch = 0
        self._position = 0
        if len(self) < 1:
            raise ValueError(
                f"{len(dataset)} samples cannot be shared by {self.world_size} processes: use fewer processes or "
                "more data"
            )

    def __len__(self) -> int:
        """Samples of this rank in a whole epoch, whatever the position."""
        return len(range(self.shard[0], len(self.dataset), self.shard[1])) // self.world_size

    def __iter__(self) -> Iterator[SampleIndex]:
        """Start the epoch at the set position, and the next time at its beginning."""
        position, self._position = self._position, 0
        epoch, seed = self.epoch, self.seed
        return (SampleIndex(value, epoch, seed) for value in self._indices(position))

    def _indices(self, position: int) -> Iterable[int]:
        """Indices of this rank's samples from a position of the current epoch on."""
        order = self._order()[self.shard[0] :: self.shard[1]]
        return order[self.rank : len(self) * self.world_size : self.world_size][position:].tolist()

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch; a position set for another epoch is forgotten.

        Args:
            epoch: Epoch number, from 0.
        """
        if epoch != self.epoch:
            self._position = 0
        self.epoch = epoch

    def set_position(self, num_samples_done: int) -> None:
        """Leave out the samples already seen when the current epoch is iterated next; once only.

        Args:
            num_samples_done: Samples *of this rank* already seen, 0 to ``len(self)``. Call it after :meth:`set_epoch`.

        Raises:
            ValueError: ``num_samples_done`` is out of range.
        """
        if not 0 <= num_samples_done <= len(self):
            raise ValueError(
                f"position {num_samples_done} is outside the epoch of {len(self)} samples per rank: was the run "
                "started "
                "with other data, another number of processes or another batch size?"
            )
        self._position = num_samples_done

    def _order(self) -> np.ndarray:
        if not self.shuffle:
            return np.arange(len(self.dataset))
        # RandomState's streams are frozen by numpy's compatibility policy (NEP 19), unlike those of Generator and of
        # torch.randperm: a run resumes in the same order after an upgrade.
        bit_generator = np.random.MT19937(np.random.SeedSequence([self.seed, self.epoch]))
        return np.random.RandomState(bit_generator).permutation(len(self.dataset))
