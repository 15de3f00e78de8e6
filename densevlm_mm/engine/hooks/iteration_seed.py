"""Randomness of a training step as a function of the run's seed, the process and the iteration."""

import random

import numpy as np
import torch
from mmengine.dist import get_rank
from mmengine.hooks import Hook
from mmengine.runner import Runner

from densevlm_mm.registry import HOOKS


@HOOKS.register_module()
class IterationSeedHook(Hook):
    """Seed the global generators before every training iteration, so that a resumed run draws as the whole one did.

    For models that draw in their forward pass: samplers of boxes, of points, dropout. A checkpoint does not hold the
    state of the generators. What data transforms draw is the affair of :class:`SeededDataset`.
    """

    priority = "VERY_HIGH"

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: dict | None = None) -> None:
        """Seed Python, numpy and torch, on all devices."""
        words = np.random.SeedSequence([runner.seed, get_rank(), runner.iter]).generate_state(4)
        random.seed(int(words[0]))
        np.random.seed(words)
        torch.manual_seed(int(words[1]))
