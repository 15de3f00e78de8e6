from types import SimpleNamespace

import pytest
from torch.utils.data import DataLoader, SequentialSampler

from densevlm_mm.datasets.samplers import ResumableSampler
from densevlm_mm.engine.loops import ResumableEpochBasedTrainLoop


def loop(dataloader: DataLoader, iteration: int, epoch: int) -> tuple[ResumableEpochBasedTrainLoop, list]:
    """A loop that notes (batch index, batch) instead of training."""
    made = ResumableEpochBasedTrainLoop.__new__(ResumableEpochBasedTrainLoop)
    made.dataloader, made._iter, made._epoch = dataloader, iteration, epoch
    made._runner = SimpleNamespace(call_hook=lambda name, **_: None, model=SimpleNamespace(train=lambda: None), seed=7)
    seen: list = []

    def run_iter(idx: int, batch: list) -> None:
        seen.append((idx, [int(i) for i in batch]))
        made._iter += 1

    made.run_iter = run_iter
    return made, seen


def loader(seed: int | None = 0) -> DataLoader:
    data = list(range(10))
    sampler = ResumableSampler(data, seed=seed)
    return DataLoader(data, batch_size=3, sampler=sampler, drop_last=True)


@pytest.mark.parametrize("done", [0, 1, 2, 3])
def test_goes_on_where_the_epoch_was_left(done: int) -> None:
    whole, expected = loop(loader(), 0, 0)
    whole.run_epoch()
    resumed, seen = loop(loader(), done, 0)
    resumed.run_epoch()
    assert seen == expected[done:]
    assert (resumed._iter, resumed._epoch) == (3, 1)


def test_only_the_first_epoch_is_short() -> None:
    resumed, seen = loop(loader(), 2, 0)
    resumed.run_epoch()
    resumed.run_epoch()
    assert [idx for idx, _ in seen] == [2, 0, 1, 2]


@pytest.mark.parametrize(("iteration", "epoch"), [(7, 1), (2, 1)])
def test_a_position_outside_the_epoch_is_an_error_that_says_why(iteration: int, epoch: int) -> None:
    with pytest.raises(ValueError, match=rf"iteration {iteration} in epoch {epoch + 1} of 3.*batch size"):
        loop(loader(), iteration, epoch)[0].run_epoch()


def test_a_sampler_that_cannot_skip_is_named() -> None:
    dataloader = DataLoader(list(range(9)), batch_size=3, sampler=SequentialSampler(range(9)))
    loop(dataloader, 0, 0)[0].run_epoch()  # from the start it needs not skip
    with pytest.raises(ValueError, match=r"SequentialSampler.*ResumableSampler"):
        loop(dataloader, 1, 0)[0].run_epoch()


def test_the_order_follows_the_runners_seed_unless_the_config_gives_one(monkeypatch) -> None:
    monkeypatch.setattr("mmengine.runner.EpochBasedTrainLoop.run", lambda self: None)
    for given, used in ((None, 7), (3, 3)):
        dataloader = loader(seed=given)
        loop(dataloader, 0, 0)[0].run()
        assert dataloader.sampler.seed == used
