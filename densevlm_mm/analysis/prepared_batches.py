"""Batches that several evaluations of the same data share, so that images are decoded and prepared once."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from mmengine.structures import BaseDataElement
from torch import Tensor
from torch.utils.data import DataLoader


class PreparedBatches:
    """Keeps the batches of loaders in memory, as far as they fit; others are prepared anew in every pass.

    Args:
        limit_bytes: For all loaders together.
    """

    def __init__(self, limit_bytes: int) -> None:
        self._free = limit_bytes
        self._kept: dict[str, list[Any]] = {}
        self._loaders: dict[str, DataLoader] = {}
        self._too_large: set[str] = set()

    def batches(self, key: str, make_loader: Callable[[], DataLoader]) -> "SharedBatches":
        """Batches that can be gone through any number of times.

        Args:
            key: Says all that the batches depend on; the same key is the same batches.
            make_loader: Makes the loader, if there is none of this key yet.
        """
        if key not in self._loaders:
            self._loaders[key] = make_loader()
        return SharedBatches(self, key, self._loaders[key])

    def iterate(self, key: str) -> Iterator[Any]:
        """Go through the batches of a key, and keep them if they fit."""
        if key in self._kept:
            yield from self._kept[key]
            return
        new: list[Any] = []
        left = self._free
        for batch in self._loaders[key]:
            if key not in self._too_large:
                new.append(batch)
                left -= num_bytes(batch)
                if left < 0:
                    self._too_large.add(key)
                    new.clear()
            yield batch
        if key not in self._too_large:
            self._kept[key], self._free = new, left


class SharedBatches(Iterable):
    """The batches of one key of :class:`PreparedBatches`.

    Args:
        owner: Who keeps them.
        key: Their key.
        loader: Their loader.
    """

    def __init__(self, owner: PreparedBatches, key: str, loader: DataLoader) -> None:
        self._owner, self._key = owner, key
        self.dataset: Any = loader.dataset

    def __iter__(self) -> Iterator[Any]:
        return self._owner.iterate(self._key)


def num_bytes(batch: Any) -> int:
    """Bytes of all tensors in dicts, lists, tuples and data elements."""
    if isinstance(batch, Tensor):
        return batch.nbytes
    if isinstance(batch, BaseDataElement | dict):
        return sum(num_bytes(value) for value in batch.values())
    return sum(map(num_bytes, batch)) if isinstance(batch, list | tuple) else 0
