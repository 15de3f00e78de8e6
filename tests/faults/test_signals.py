"""Signals: the place is saved in time, on all processes together, and the resumed run ends as the undisturbed one."""

import os
import re
import signal
import time
from pathlib import Path

import pytest

from tests.faults.conftest import assert_same, load

pytestmark = pytest.mark.faults

ITERATION_5 = r"\(train\).*\[ *5/\d+\]"
# Three kinds of runs; what makes them small and long enough to be stopped in the middle.
SMALL = [
    "default_hooks.logger.interval=1",
    "default_hooks.checkpoint.interval=1000",
    "train_dataloader.num_workers=1",
    "val_dataloader.num_workers=0",
]
KINDS = {
    "configs/tiny/densevlm.py": ["train_dataloader.batch_size=2"],
    "configs/tiny/fvit_original.py": ["train_dataloader.batch_size=2"],
    "configs/tiny/cat_seg_original.py": [
        "train_dataloader.batch_size=2",
        "train_cfg.max_iters=16",
        "train_cfg.val_interval=100",
        "param_scheduler.0.end=4",
    ],
}


@pytest.fixture(scope="module")
def options_of(tiny_world):
    def options(config: str) -> list[str]:
        data = [
            f"train_dataloader.dataset.dataset.data_root={tiny_world}",
            f"val_dataloader.dataset.data_root={tiny_world}",
        ]
        if "fvit" in config:
            data.append(f"val_evaluator.ann_file={tiny_world}/annotations/instances_val.json")
        return [*SMALL, *KINDS[config], *data]

    return options


@pytest.mark.parametrize("config", KINDS)
def test_a_stopped_run_goes_on_to_the_bit(train, options_of, tmp_path, config) -> None:
    options = options_of(config)
    whole = train(config, "--work-dir", tmp_path / "whole", options=options)
    assert whole.end() == 0, whole.log[-3000:]
    run = train(config, "--work-dir", tmp_path / "run", options=options)
    run.wait_for(ITERATION_5)
    run.signal_all(signal.SIGTERM)
    began = time.monotonic()
    run.wait_for("Stopped by SIGTERM", seconds=30)
    assert time.monotonic() - began < 30
    assert run.end() == 143
    later = train(config, "--resume", "--work-dir", tmp_path / "run", options=options)
    assert later.end() == 0, later.log[-3000:]
    assert not re.search(ITERATION_5, later.log)
    last = Path((tmp_path / "whole" / "last_checkpoint").read_text())
    assert_same(tmp_path / "run" / last.name, last)


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGUSR1, 143)], ids=["ctrl-c", "slurm"])
def test_other_signals_have_their_statuses(train, options_of, tmp_path, number, status) -> None:
    config = "configs/tiny/densevlm.py"
    run = train(config, "--work-dir", tmp_path / "run", options=options_of(config))
    run.wait_for(ITERATION_5)
    run.signal_all(number)
    assert run.end() == status
    assert "Traceback" not in run.log
    assert len(list((tmp_path / "run").glob("iter_*.pth"))) == 1


def test_a_second_ctrl_c_ends_the_run_at_once(train, options_of, tmp_path) -> None:
    config = "configs/tiny/densevlm.py"
    run = train(config, "--work-dir", tmp_path / "run", options=options_of(config))
    run.wait_for(r"\[ *2/\d+\]")
    os.kill(run.process.pid, signal.SIGSTOP)  # so that both come before it can end
    run.signal_all(signal.SIGINT)
    time.sleep(1.5)
    os.kill(run.process.pid, signal.SIGCONT)
    deadline = time.monotonic() + 60
    while run.process.poll() is None and time.monotonic() < deadline:
        run.signal_all(signal.SIGINT)
        time.sleep(0.2)
    assert run.process.poll() in (-signal.SIGINT, 130)


def test_two_processes_stop_together_and_go_on_to_the_bit(train, options_of, tmp_path) -> None:
    config = "configs/tiny/densevlm.py"
    options = [*options_of(config), "train_dataloader.batch_size=1"]
    whole = train(config, "--work-dir", tmp_path / "whole", options=options, processes=2)
    assert whole.end() == 0, whole.log[-3000:]
    run = train(config, "--work-dir", tmp_path / "run", options=options, processes=2)
    run.wait_for(ITERATION_5)
    run.process.send_signal(signal.SIGTERM)  # torchrun sends it on
    assert run.end() != 0
    assert "Stopped by SIGTERM" in run.log
    later = train(config, "--resume", "--work-dir", tmp_path / "run", options=options, processes=2)
    assert later.end() == 0, later.log[-3000:]
    assert_same(tmp_path / "run" / "iter_16.pth", tmp_path / "whole" / "iter_16.pth")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL], ids=["stopped", "killed"])
def test_one_of_two_processes_takes_the_other_to_a_saved_place(train, options_of, tmp_path, number) -> None:
    config = "configs/tiny/densevlm.py"
    options = [*options_of(config), "train_dataloader.batch_size=1"]
    run = train(config, "--work-dir", tmp_path / "run", options=options, processes=2)
    run.wait_for(ITERATION_5)
    os.kill(run.rank(1), number)
    assert run.end() != 0
    (saved,) = (tmp_path / "run").glob("iter_*.pth")
    assert load(saved)["meta"]["iter"] >= 5


def test_a_process_that_sleeps_for_25_seconds_stops_nobody(train, options_of, tmp_path) -> None:
    config = "configs/tiny/densevlm.py"
    options = [*options_of(config), "train_dataloader.batch_size=1"]
    run = train(config, "--work-dir", tmp_path / "run", options=options, processes=2)
    run.wait_for(ITERATION_5)
    sleeper = run.rank(1)
    os.kill(sleeper, signal.SIGSTOP)
    time.sleep(25)
    os.kill(sleeper, signal.SIGCONT)
    assert run.end() == 0, run.log[-3000:]
