"""A run that goes on with other processes, batches or data sees every image once more, or says why it cannot."""

from collections import Counter
from pathlib import Path

import pytest
import torch
from mmengine.runner import Runner

from tests.fixtures.toy_run import NumberedSamples, load, toy_runner

SAMPLER = "densevlm_mm.datasets.samplers.resumable.get_dist_info"
NO_SCHEDULE: list = []


def begin(work_dir: Path, stop_at: int, **options) -> Runner:
    """A run of which `stop_at` iterations are kept."""
    runner = toy_runner(work_dir, checkpoint=dict(interval=stop_at, max_keep_ckpts=-1), **options)
    runner.train()
    return runner


def goes_on(work_dir: Path, checkpoint: Path, monkeypatch, processes: int = 1, **options) -> list[list[int]]:
    """What all processes together see in each iteration; they run one after the other, each on its own."""
    seen: list[list[int]] = []
    for rank in range(processes):
        monkeypatch.setattr(SAMPLER, lambda rank=rank: (rank, processes))
        runner = toy_runner(work_dir / str(rank), resume=checkpoint, **options)
        runner.train()
        seen = [a + b for a, b in zip(seen, runner.model.seen, strict=True)] if rank else runner.model.seen
    monkeypatch.undo()
    return seen


def refused(work_dir: Path, checkpoint: Path, **options) -> str:
    runner = toy_runner(work_dir, resume=checkpoint, **options)
    with pytest.raises(ValueError, match="cannot go on") as caught:
        runner.train()
    assert runner.model.seen == []
    return str(caught.value)


@pytest.mark.parametrize("length", [dict(epochs=2), dict(iterations=4)], ids=["epochs", "iterations"])
@pytest.mark.parametrize("processes", [2, 3])
def test_more_processes_with_the_same_batch_in_all_see_the_same_images(tmp_path, monkeypatch, processes, length):
    whole = begin(tmp_path / "a", 1, batch_size=6, **length)
    seen = goes_on(
        tmp_path / "b", tmp_path / "a" / "iter_1.pth", monkeypatch, processes, batch_size=6 // processes, **length
    )
    assert [sorted(batch) for batch in seen] == [sorted(batch) for batch in whole.model.seen[1:]]


def test_another_batch_is_refused_while_a_schedule_follows_the_iterations(tmp_path) -> None:
    schedule = [dict(type="CosineAnnealingLR", by_epoch=False)]
    begin(tmp_path / "a", 2, batch_size=2, param_scheduler=schedule)
    checkpoint = tmp_path / "a" / "iter_2.pth"
    message = refused(tmp_path / "b", checkpoint, batch_size=4, param_scheduler=schedule)
    assert "4 images an iteration (1 x 4) where the run had 2 (1 x 2)" in message
    assert "CosineAnnealingLR follows the iterations" in message
    assert "train_dataloader.batch_size=2" in message


def test_another_batch_is_refused_where_the_run_is_a_number_of_iterations(tmp_path) -> None:
    begin(tmp_path / "a", 2, batch_size=2, iterations=4, param_scheduler=NO_SCHEDULE)
    message = refused(
        tmp_path / "b", tmp_path / "a" / "iter_2.pth", iterations=4, batch_size=4, param_scheduler=NO_SCHEDULE
    )
    assert "train_cfg.max_iters follows the iterations" in message


@pytest.mark.parametrize(("old", "stop_at", "new"), [(2, 2, 4), (4, 1, 2), (3, 2, 6), (4, 4, 2), (2, 6, 4), (6, 3, 2)])
def test_another_batch_goes_on_from_the_same_image_where_nothing_follows_iterations(
    tmp_path, monkeypatch, old, stop_at, new
) -> None:
    options = dict(param_scheduler=[dict(type="MultiStepLR", milestones=[1], by_epoch=True)], epochs=2)
    whole = begin(tmp_path / "a", stop_at, batch_size=old, **options)
    seen = goes_on(tmp_path / "b", tmp_path / "a" / f"iter_{stop_at}.pth", monkeypatch, batch_size=new, **options)
    flat = [i for batch in [*whole.model.seen[:stop_at], *seen] for i in batch]
    assert flat == [i for batch in whole.model.seen for i in batch]
    assert set(Counter(flat).values()) == {2}  # once an epoch


def test_a_batch_that_the_images_seen_do_not_fill_is_refused(tmp_path) -> None:
    begin(tmp_path / "a", 1, batch_size=2, param_scheduler=NO_SCHEDULE)
    message = refused(tmp_path / "b", tmp_path / "a" / "iter_1.pth", batch_size=4, param_scheduler=NO_SCHEDULE)
    assert "the 2 images that the epoch has seen are no whole number of batches" in message


@pytest.mark.parametrize("length", [10, 14])
def test_more_or_fewer_images_are_refused(tmp_path, length) -> None:
    begin(tmp_path / "a", 2)
    message = refused(tmp_path / "b", tmp_path / "a" / "iter_2.pth", data=NumberedSamples(length))
    assert f"its data set had 12 images, this one has {length}" in message


def test_another_sampler_is_refused(tmp_path) -> None:
    begin(tmp_path / "a", 2)
    assert "shuffle=True" in refused(tmp_path / "b", tmp_path / "a" / "iter_2.pth", sampler=dict(shuffle=False))


@pytest.mark.parametrize("seeds", [(None, None), (3, 4), (None, 4)], ids=str)
@pytest.mark.parametrize("own_seed", [False, True])
def test_the_order_is_that_of_the_checkpoint_whatever_seed_the_config_has(tmp_path, seeds, own_seed) -> None:
    first = dict(sampler=dict(seed=seeds[0])) if own_seed else dict(seed=seeds[0])
    then = dict(sampler=dict(seed=seeds[1])) if own_seed else dict(seed=seeds[1])
    whole = begin(tmp_path / "a", 4, **first)
    later = toy_runner(tmp_path / "b", resume=tmp_path / "a" / "iter_4.pth", **then)
    later.train()
    assert later.model.seen == whole.model.seen[4:]


def test_a_longer_run_is_told_that_its_schedule_is_the_old_one(tmp_path) -> None:
    schedule = [dict(type="CosineAnnealingLR", by_epoch=False)]
    begin(tmp_path / "a", 2, iterations=4, param_scheduler=schedule)
    toy_runner(tmp_path / "b", resume=tmp_path / "a" / "iter_2.pth", iterations=6, param_scheduler=schedule).train()
    (log,) = (tmp_path / "b").glob("*/*.log")
    assert "was to have 4 iterations and now has 6: CosineAnnealingLR goes on as it was planned then" in log.read_text()


def test_a_checkpoint_that_does_not_say_goes_on_with_a_warning(tmp_path) -> None:
    whole = begin(tmp_path / "a", 2)
    checkpoint = load(tmp_path / "a" / "iter_2.pth")
    del checkpoint["meta"]["batches"]
    torch.save(checkpoint, tmp_path / "old.pth")
    later = toy_runner(tmp_path / "b", resume=tmp_path / "old.pth")
    later.train()
    assert later.model.seen == whole.model.seen[2:]
    (log,) = (tmp_path / "b").glob("*/*.log")
    assert "does not say which images its iterations were of" in log.read_text()
