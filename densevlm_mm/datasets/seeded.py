"""A wrapper that makes each sample's random augmentation a function of (seed, epoch, index)."""

import logging
import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from mmengine.dataset import BaseDataset
from mmengine.logging import print_log

from densevlm_mm.registry import DATASETS


@contextmanager
def seeded_random_state(*entropy: int) -> Iterator[None]:
    """Seed the global generators of Python, numpy and torch's CPU for a block, and restore their state afterwards.

    Args:
        entropy: Non-negative integers that together are the seed.
    """
    # The main process also runs this (num_workers=0): without restoring, loading data would steer the training's own
    # randomness. torch.manual_seed would reseed the GPUs too, which the states saved here do not cover.
    states = random.getstate(), np.random.get_state(), torch.default_generator.get_state()
    words = np.random.SeedSequence(entropy).generate_state(4)
    random.seed(int(words[0]))
    np.random.seed(words)
    torch.default_generator.manual_seed(int(words[1]))
    try:
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])
        torch.default_generator.set_state(states[2])


@DATASETS.register_module()
class SeededDataset:
    """Wrap a data set so that what a sample looks like depends on (seed, epoch, index) and on nothing else.

    Not on the number of workers or processes, nor on where a run was resumed. Works for every data set whose
    transforms draw from the global generators (ours, mmdet's, mmseg's, including the re-drawing of ``BaseDataset``
    when a sample is unusable). The epoch comes with the index, from
    :class:`~densevlm_mm.datasets.samplers.ResumableSampler`; with another sampler every epoch would look alike, which
    is logged once. Put this wrapper outermost.

    Args:
        dataset: The data set or its config.
        seed: Seed of the augmentation; ``None`` takes the sampler's (that is, the run's), 0 for a plain index.
        lazy_init: Leave loading the annotations for later.

    Example:
        >>> train = SeededDataset(dict(type='UnlabeledImageDataset', source='data/images', pipeline=[...]))
        >>> train[SampleIndex(5, epoch=2)]  # the same in any process, at any time
    """

    def __init__(self, dataset: BaseDataset | dict, seed: int | None = None, lazy_init: bool = False) -> None:
        self.dataset: BaseDataset = DATASETS.build(dataset) if isinstance(dataset, dict) else dataset
        self.seed = seed
        self._warned = False
        if not lazy_init:
            self.full_init()

    @property
    def metainfo(self) -> dict:
        """Meta information of the wrapped data set."""
        return self.dataset.metainfo

    def full_init(self) -> None:
        """Load the annotations of the wrapped data set."""
        self.dataset.full_init()

    def get_data_info(self, idx: int) -> dict:
        """Annotation of a sample of the wrapped data set."""
        return self.dataset.get_data_info(idx)

    def get_cat_ids(self, idx: int) -> list[int]:
        """Category ids of a sample of the wrapped data set."""
        return self.dataset.get_cat_ids(idx)

    def __len__(self) -> int:
        """Number of samples of the wrapped data set."""
        return len(self.dataset)

    def __getitem__(self, idx: int) -> Any:
        """Sample of the wrapped data set, drawn with its own seed.

        Args:
            idx: Index; a :class:`~densevlm_mm.datasets.samplers.SampleIndex` brings its epoch.
        """
        epoch = getattr(idx, "epoch", None)
        if epoch is None and not self._warned:
            print_log(
                "SeededDataset got an index without an epoch and takes epoch 0: random transforms will draw the "
                "same in every "
                "epoch. Use sampler=dict(type='ResumableSampler').",
                logger="current",
                level=logging.WARNING,
            )
            self._warned = True
        seed = self.seed if self.seed is not None else getattr(idx, "seed", 0)
        with seeded_random_state(seed, epoch or 0, int(idx) % len(self)):
            return self.dataset[int(idx)]
