from types import SimpleNamespace

import torch

from densevlm_mm.engine.hooks import IterationSeedHook


def draw(seed: int, iteration: int) -> float:
    IterationSeedHook().before_train_iter(SimpleNamespace(seed=seed, iter=iteration), batch_idx=0)
    return float(torch.rand(1))


def test_an_iteration_draws_the_same_whatever_was_drawn_before() -> None:
    first = draw(0, 5)
    torch.rand(17)
    assert draw(0, 5) == first


def test_iterations_seeds_and_ranks_differ(monkeypatch) -> None:
    drawn = {draw(0, 5), draw(0, 6), draw(1, 5)}
    monkeypatch.setattr("densevlm_mm.engine.hooks.iteration_seed.get_rank", lambda: 1)
    assert len(drawn | {draw(0, 5)}) == 4
