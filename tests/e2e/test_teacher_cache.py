"""Runs with the teacher cache equal those without, to the bit; the tool that fills it."""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
import torch

from densevlm_mm.apis import build_runner
from densevlm_mm.apis.teacher_cache import PreparedCache
from tests.fixtures.short_runs import Run


def test_cached_runs_equal_those_without_a_cache(train, tmp_path) -> None:
    without = train("densevlm", "without")
    empty = train("densevlm_cached", "empty")
    assert empty.equals(without)
    assert "teacher: 12 images, cache: 0 images" in empty.log
    assert "teacher: 0 images, cache: 12 images" in empty.log  # the second epoch
    assert "the teacher is built" in empty.log

    filled = train("densevlm_cached", "filled")
    assert filled.equals(without)
    assert filled.log.count("teacher: 0 images, cache: 12 images") == 2
    assert "the teacher is built" not in filled.log

    resumed = train("densevlm_cached", "resumed", tmp_path / "empty/iter_2.pth")
    assert len(resumed.figures) == 4
    assert resumed.equals(without)

    other_batch = {"train_dataloader.batch_size": 3, "last": 8}
    expected = train("densevlm", "without_of_3", **other_batch)
    assert train("densevlm_cached", "filled_by_batches_of_4", **other_batch).equals(expected)


def test_half_precision_moves_the_loss_by_less_than_a_hundredth(train) -> None:
    once = {"train_cfg.max_epochs": 1, "last": 3}
    exact = train("densevlm", "without", **once)
    half = train("densevlm_cached", "half", **once, **{"default_hooks.teacher.cache": dict(path="", dtype="float16")})
    assert half.figures != exact.figures
    losses = ([figures["loss"] for figures in run.figures] for run in (half, exact))
    assert next(losses) == pytest.approx(next(losses), rel=0.01)


def test_crops_of_a_second_run_come_from_the_first(train) -> None:
    once = {"train_cfg.max_epochs": 1, "last": 3}
    without = train("crop_logits", "without", **once)
    for name, count in (("empty", 12), ("filled", 0)):
        run = train("crop_logits", name, **once, **{"default_hooks.teacher.cache": dict(path="")})
        assert run.equals(without)
        assert f"teacher: {count} images, cache: {12 - count} images" in run.log


@pytest.fixture
def one_thread() -> Iterator[None]:
    """As many as `in_two_processes` has: products of matrices are rounded as the number of threads splits them."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("one_thread")
def test_two_processes_with_a_cache_equal_two_without(experiment, train, in_two_processes, monkeypatch) -> None:
    half = {"train_dataloader.batch_size": 2, "train_cfg.max_epochs": 1}
    train("densevlm_cached", "one_process", last=1, **{"train_cfg.max_epochs": 1}, **_images(4))
    cfgs = [experiment(name, f"{name}_two", **half) for name in ("densevlm", "densevlm_cached")]
    again = experiment("densevlm_cached", "again_two", **half)
    monkeypatch.setenv("LOCAL_RANK", "0")

    def run(rank: int) -> None:
        for cfg in (*cfgs, again):
            cfg.launcher = "pytorch"
            build_runner(cfg).train()

    in_two_processes(run)
    without, partly_filled, filled = (Run(Path(cfg.work_dir), 3) for cfg in (*cfgs, again))
    assert partly_filled.equals(without)
    assert "teacher: 8 images, cache: 4 images" in partly_filled.log
    assert filled.equals(without)
    assert "teacher: 0 images, cache: 12 images" in filled.log


def _images(count: int) -> dict[str, object]:
    return {"train_dataloader.dataset.dataset.indices": count}


def prepared_folders(path: Path) -> Iterable[Path]:
    return (file.parent for file in path.glob("*/key.json"))


def test_a_cache_filled_ahead_is_complete_verified_and_leaves_training_nothing_to_compute(
    experiment, train, tmp_path
) -> None:
    with PreparedCache(experiment("densevlm_cached", "part", **_images(5))) as prepared:
        assert prepared.fill() == 5
    with PreparedCache(experiment("densevlm_cached", "whole")) as prepared:
        assert prepared.fill() == 7  # goes on where it was stopped
        assert prepared.fill() == 0
    with PreparedCache(experiment("densevlm_cached", "verified")) as prepared:
        text = prepared.describe()
        assert prepared.hook.teacher is None
        assert "12 of 12 training images (100.0 %)" in text
        assert 'key           teacher.model_name = "TinyScenes-T"' in text
        result = prepared.verify(100)
        assert (result.num_compared, result.num_damaged, result.largest_difference) == (12, 0, 0.0)
        assert prepared.verify(3).num_compared == 3
    (folder,) = prepared_folders(tmp_path / "cache")
    path = max(folder.glob("*.records"), key=os.path.getsize)
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with PreparedCache(experiment("densevlm_cached", "damaged")) as prepared:
        result = prepared.verify(100)
        assert (result.num_compared, result.num_damaged) == (11, 1)
    run = train("densevlm_cached", "train", last=3, **{"train_cfg.max_epochs": 1})
    assert "teacher: 1 images, cache: 11 images, 1 records damaged" in run.log


def test_verification_finds_another_teacher(experiment, tmp_path) -> None:
    with PreparedCache(experiment("densevlm_cached")) as prepared:
        prepared.fill()
        prepared.hook.build_teacher(prepared.runner)
        with torch.no_grad():
            next(prepared.hook.teacher.parameters()).mul_(1.1)
        assert prepared.verify(2).largest_difference > 0


def test_crops_are_not_filled_ahead_but_described_and_verified(experiment, train) -> None:
    cache = {"default_hooks.teacher.cache": dict(path=""), "train_cfg.max_epochs": 1}
    train("crop_logits", "train", last=3, **cache)
    with PreparedCache(experiment("crop_logits", "tool", **cache)) as prepared:
        with pytest.raises(ValueError, match="stores what training asks for"):
            prepared.fill()
        assert "records       12" in prepared.describe()
        result = prepared.verify(5)
        assert (result.num_compared, result.largest_difference) == (5, 0.0)


def test_a_config_without_a_cache_is_named(experiment) -> None:
    with pytest.raises(ValueError, match=r"densevlm\.py has 0 hooks with a cache"):
        PreparedCache(experiment("densevlm"))
