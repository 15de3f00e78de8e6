"""Advice in place of an allocator's message."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

_WORDS = ("can't allocate memory", "out of memory", "CUDNN_STATUS_ALLOC_FAILED", "CUBLAS_STATUS_ALLOC_FAILED")


@contextmanager
def explain_out_of_memory(batch: Any) -> Iterator[None]:
    """Turn an error of a block that ran out of memory into one that says what to change.

    Args:
        batch: What the block trains on, if it trains.

    Raises:
        MemoryError: If memory was not enough; names the size of the batch and of its largest image.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        known = isinstance(error, MemoryError | torch.OutOfMemoryError)
        if not known and not any(words in str(error) for words in _WORDS):
            raise
        raise MemoryError(
            f"out of memory{_size(batch)} ({str(error).splitlines()[0][:160]}). Use a smaller batch_size "
            "(optim_wrapper.accumulative_counts keeps the images of a step), smaller images, or --amp."
        ) from error


def _size(batch: Any) -> str:
    images = batch.get("inputs") if isinstance(batch, Mapping) else None
    if not isinstance(images, Sequence | Tensor) or not len(images) or not isinstance(images[0], Tensor):
        return ""
    height, width = max((tuple(image.shape[-2:]) for image in images), key=lambda size: size[0] * size[1])
    return f" in a training step of {len(images)} images of up to {width} x {height} px"
