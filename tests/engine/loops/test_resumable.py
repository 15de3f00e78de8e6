"""Both training loops go on exactly where a checkpoint was saved."""

from pathlib import Path

import pytest
import torch
from mmengine.runner import Runner

from densevlm_mm.datasets.samplers import ResumableSampler
from tests.fixtures.toy_run import MeanError, NumberedSamples, load, state_of, toy_runner

LENGTHS = {"epochs": dict(epochs=2), "iterations": dict(iterations=13)}


@pytest.fixture(scope="module", params=LENGTHS)
def whole(request, tmp_path_factory) -> tuple[Runner, Path, dict]:
    """A run of two epochs of 6 iterations (and one more) that was never stopped, with a checkpoint of each."""
    work_dir = tmp_path_factory.mktemp(request.param)
    runner = toy_runner(work_dir, checkpoint=dict(interval=1, max_keep_ckpts=-1), **LENGTHS[request.param])
    runner.train()
    return runner, work_dir, LENGTHS[request.param]


def test_the_samples_are_those_of_the_samplers_epochs(whole) -> None:
    sampler = ResumableSampler(range(12), seed=0)
    expected: list[int] = []
    for epoch in range(3):
        sampler.set_epoch(epoch)
        expected += [int(i) for i in sampler]
    seen = [index for batch in whole[0].model.seen for index in batch]
    assert seen == expected[: len(seen)]
    assert len(seen) == 2 * whole[0].iter


@pytest.mark.parametrize("done", [1, 5, 6, 7, 11, 12])
def test_goes_on_to_the_bit_where_it_was_left_and_loads_nothing_twice(whole, tmp_path, done) -> None:
    runner, work_dir, length = whole
    resumed = toy_runner(tmp_path, resume=work_dir / f"iter_{done}.pth", **length)
    resumed.train()
    assert resumed.model.seen == runner.model.seen[done:]
    assert resumed.train_dataloader.dataset.loaded == [i for batch in runner.model.seen[done:] for i in batch]
    torch.testing.assert_close(state_of(resumed), state_of(runner), rtol=0, atol=0)


@pytest.mark.parametrize("length", LENGTHS.values(), ids=LENGTHS)
def test_a_batch_larger_than_the_data_is_an_error(tmp_path, length) -> None:
    with pytest.raises(ValueError, match="12 samples a process make no batch of 13"):
        toy_runner(tmp_path, batch_size=13, **length).train()


def test_a_sampler_that_cannot_skip_is_named(whole, tmp_path) -> None:
    _, work_dir, length = whole
    sampler = dict(type="DefaultSampler", shuffle=False)
    runner = toy_runner(tmp_path, resume=work_dir / "iter_1.pth", sampler=sampler, **length)
    with pytest.raises(ValueError, match=r"DefaultSampler.*ResumableSampler"):
        runner.train()


@pytest.mark.parametrize("length", [dict(epochs=2), dict(iterations=8)], ids=["epochs", "iterations"])
@pytest.mark.parametrize("by_epoch", [False, True])
def test_a_validation_that_was_due_is_made_up_for(tmp_path, monkeypatch, length, by_epoch) -> None:
    """The checkpoint at the end of an epoch is from before its validation, which the process did not survive."""
    if by_epoch and "iterations" in length:
        pytest.skip("there are no epochs to count")
    checkpoint = dict(interval=1, max_keep_ckpts=-1, by_epoch=by_epoch)
    toy_runner(tmp_path / "whole", val=True, checkpoint=checkpoint, **length).train()
    at = {(False, 2): "iter_6.pth", (True, 2): "epoch_1.pth"}.get((by_epoch, length.get("epochs")), "iter_4.pth")
    monkeypatch.setattr(MeanError, "evaluations", 0)
    toy_runner(tmp_path / "resumed", val=True, resume=tmp_path / "whole" / at, **length).train()
    assert MeanError.evaluations == 2


def test_no_iteration_is_saved_that_has_not_led_to_a_step(tmp_path) -> None:
    options = dict(iterations=8, optim_wrapper=dict(accumulative_counts=3))
    whole = toy_runner(tmp_path / "whole", checkpoint=dict(interval=2, max_keep_ckpts=-1), **options)
    whole.train()
    assert sorted(path.name for path in (tmp_path / "whole").glob("*.pth")) == [
        "iter_3.pth",
        "iter_6.pth",
        "iter_8.pth",
    ]
    resumed = toy_runner(tmp_path / "resumed", resume=tmp_path / "whole" / "iter_3.pth", **options)
    resumed.train()
    torch.testing.assert_close(state_of(resumed), state_of(whole), rtol=0, atol=0)


def test_finished_runs_train_nothing_more(whole, tmp_path) -> None:
    runner, work_dir, length = whole
    resumed = toy_runner(tmp_path, data=NumberedSamples(12), resume=work_dir / f"iter_{runner.iter}.pth", **length)
    resumed.train()
    assert resumed.model.seen == []
    assert load(work_dir / f"iter_{runner.iter}.pth")["meta"]["iter"] == resumed.iter
