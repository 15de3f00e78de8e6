import random
from types import SimpleNamespace

import numpy as np
import torch

from densevlm_mm.engine.hooks import IterationSeedHook


def draw(seed: int, iteration: int) -> tuple:
    IterationSeedHook().before_train_iter(SimpleNamespace(seed=seed, iter=iteration), 0)
    return random.random(), float(np.random.rand()), float(torch.rand(()))


def test_draws_depend_on_seed_and_iteration_alone() -> None:
    first = draw(0, 5)
    torch.rand(100), np.random.rand(100)  # what happened before does not matter
    assert draw(0, 5) == first
    assert all(a != b for a, b in zip(draw(0, 6), first, strict=True))
    assert all(a != b for a, b in zip(draw(1, 5), first, strict=True))


def test_processes_draw_differently(monkeypatch) -> None:
    first = draw(0, 5)
    monkeypatch.setattr("densevlm_mm.engine.hooks.iteration_seed.get_rank", lambda: 1)
    assert all(a != b for a, b in zip(draw(0, 5), first, strict=True))
