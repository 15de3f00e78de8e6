"""kill -9 at any moment, a full disk, a killed process: the run goes on and ends as if nothing had been."""

import os
import random
import signal
import time
from pathlib import Path

import pytest

from tests.faults.conftest import Run, assert_same, load

pytestmark = pytest.mark.faults

CONFIG = "configs/tiny/densevlm.py"
NUM_KILLS = 10


@pytest.fixture(scope="module")
def options(small_data_options) -> list[str]:
    """32 iterations, each of which is saved, and one checkpoint that is kept."""
    changed = ("default_hooks.checkpoint", "train_dataloader.batch_size")
    return [
        *(option for option in small_data_options if not option.startswith(changed)),
        "train_dataloader.batch_size=1",
        "default_hooks.checkpoint.interval=1",
        "default_hooks.checkpoint.max_keep_ckpts=1",
    ]


def whole_checkpoints(work_dir: Path) -> list[Path]:
    return [path for path in work_dir.glob("iter_*.pth") if load(path)["optimizer"]]


def wait_for_a_save(run: Run, work_dir: Path) -> None:
    """Return while a checkpoint is being written."""
    until = time.monotonic() + 300
    while not list(work_dir.glob(".iter_*.partial*")):
        assert time.monotonic() < until
        if run.process.poll() is not None:
            return


def test_kills_during_saves_and_between_them_lose_nothing(train, options, tmp_path) -> None:
    whole = train(CONFIG, "--work-dir", tmp_path / "whole", options=options)
    assert whole.end() == 0, whole.log[-3000:]
    work_dir, chance = tmp_path / "run", random.Random(0)
    for number in range(NUM_KILLS):
        run = train(CONFIG, "--resume", "--work-dir", work_dir, options=options)
        run.wait_for("Saving checkpoint at")
        if number % 2:
            time.sleep(chance.random())
        else:
            wait_for_a_save(run, work_dir)
        run.signal_all(signal.SIGKILL)
        run.end()
        kept = whole_checkpoints(work_dir)
        if (work_dir / "last_checkpoint").exists():
            assert kept
            assert Path((work_dir / "last_checkpoint").read_text()) in kept
    run = train(CONFIG, "--resume", "--work-dir", work_dir, options=options)
    assert run.end() == 0, run.log[-3000:]
    assert not list(work_dir.glob(".*.partial*"))
    assert_same(work_dir / "iter_32.pth", tmp_path / "whole" / "iter_32.pth")


def test_a_full_disk_ends_the_run_with_one_line_and_what_was_saved_goes_on(train, options, tmp_path) -> None:
    whole = train(CONFIG, "--work-dir", tmp_path / "whole", options=options)
    assert whole.end() == 0, whole.log[-3000:]
    size = (tmp_path / "whole" / "iter_32.pth").stat().st_size
    work_dir = tmp_path / "run"
    begun = train(CONFIG, "--work-dir", work_dir, options=[*options, "default_hooks.checkpoint.interval=4"])
    begun.wait_for(r"\[ 6/32\]")
    begun.signal_all(signal.SIGTERM)
    assert begun.end() == 143
    (left,) = whole_checkpoints(work_dir)

    full = train(CONFIG, "--resume", "--work-dir", work_dir, options=options, file_size=size // 2)
    assert full.end() == 1
    (line,) = (line for line in full.log.splitlines() if line.startswith("tools/train.py:"))
    for words in (".pth could not be written", "MiB free", str(left), "--resume"):
        assert words in line
    assert "Traceback" not in full.log
    assert whole_checkpoints(work_dir) == [left]

    later = train(CONFIG, "--resume", "--work-dir", work_dir, options=options)
    assert later.end() == 0, later.log[-3000:]
    assert_same(work_dir / "iter_32.pth", tmp_path / "whole" / "iter_32.pth")


def test_a_killed_loader_process_is_one_line_and_the_place_is_saved(train, options, tmp_path) -> None:
    workers = [*options, "train_dataloader.num_workers=1", "default_hooks.checkpoint.interval=100"]
    run = train(CONFIG, "--work-dir", tmp_path / "run", options=workers)
    run.wait_for(r"\[ 5/32\]")
    for child in run.children():
        os.kill(child, signal.SIGKILL)
    assert run.end() == 1
    assert "kills processes when memory runs out" in run.log
    assert "Traceback" not in run.log
    (saved,) = whole_checkpoints(tmp_path / "run")
    assert load(saved)["meta"]["iter"] >= 5
