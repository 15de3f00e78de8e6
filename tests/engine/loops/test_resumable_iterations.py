from types import SimpleNamespace

import pytest
from torch.utils.data import DataLoader, SequentialSampler

from densevlm_mm.datasets.samplers import ResumableSampler
from densevlm_mm.engine.loops import ResumableIterBasedTrainLoop


class Recording(list):
    """A data set that notes which samples are loaded."""

    def __init__(self, values) -> None:
        super().__init__(values)
        self.loaded: list = []

    def __getitem__(self, index):
        self.loaded.append(int(index))
        return super().__getitem__(index)


def loader(batch_size: int = 3) -> DataLoader:
    data = Recording(range(10))
    return DataLoader(data, batch_size=batch_size, sampler=ResumableSampler(data), drop_last=True)


def loop(dataloader: DataLoader, done: int, max_iters: int = 8) -> tuple[ResumableIterBasedTrainLoop, list]:
    model = SimpleNamespace(train=lambda: None)
    runner = SimpleNamespace(
        call_hook=lambda name, **_: None, model=model, seed=7, val_loop=None, visualizer=SimpleNamespace()
    )
    made = ResumableIterBasedTrainLoop(runner, dataloader, max_iters=max_iters)
    made._iter = done
    seen: list = []

    def run_iter(batch) -> None:
        seen.append([int(i) for i in batch])
        made._iter += 1

    made.run_iter = run_iter
    return made, seen


def test_runs_through_whole_epochs_in_the_samplers_order() -> None:
    made, seen = loop(loader(), 0)
    made.run()
    expected = []
    sampler = ResumableSampler(range(10), seed=7)
    for epoch in range(3):
        sampler.set_epoch(epoch)
        order = [int(i) for i in sampler]
        expected += [order[start : start + 3] for start in (0, 3, 6)]
    assert seen == expected[:8]


@pytest.mark.parametrize("done", range(8))
def test_goes_on_where_it_was_left_and_loads_nothing_twice(done: int) -> None:
    whole, expected = loop(loader(), 0)
    whole.run()
    dataloader = loader()
    resumed, seen = loop(dataloader, done)
    resumed.run()
    assert seen == expected[done:]
    assert len(dataloader.dataset.loaded) == 3 * (8 - done)


def test_a_sampler_that_cannot_skip_is_named() -> None:
    dataloader = DataLoader(list(range(9)), batch_size=3, sampler=SequentialSampler(range(9)))
    with pytest.raises(ValueError, match=r"SequentialSampler.*ResumableSampler"):
        loop(dataloader, 0)[0].run()


def test_a_batch_larger_than_the_data_is_an_error() -> None:
    with pytest.raises(ValueError, match="10 samples a process make no batch of 11"):
        loop(loader(batch_size=11), 0)[0].run()
