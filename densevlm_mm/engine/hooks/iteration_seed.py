"""Randomness of the model that a resumed run repeats."""

import numpy as np
import torch
from mmengine.dist import get_rank
from mmengine.hooks import Hook
from mmengine.runner import Runner

from densevlm_mm.registry import HOOKS


@HOOKS.register_module()
class IterationSeedHook(Hook):
    """Seed torch before every training iteration with a function of (run's seed, iteration, rank).

    mmengine's checkpoints hold no generator states, so that a resumed run would draw other numbers than an unbroken
    one wherever a model draws any: the points of SAN's loss, dropout. Data loading has its own seeds, see
    :class:`SeededDataset`.
    """

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: dict | list | None = None) -> None:
        """Seed the CPU's generator and those of the GPUs."""
        words = np.random.SeedSequence([runner.seed, runner.iter, get_rank()]).generate_state(1)
        torch.manual_seed(int(words[0]))
