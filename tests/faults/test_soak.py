"""Two thousand steps: neither memory nor open files grow."""

import statistics
from pathlib import Path

import pytest

pytestmark = pytest.mark.faults

NUM_STEPS = 2000
MAX_MIB_PER_THOUSAND = 1.0  # the history of the log takes 0.2; a leak of one image a step is forty times the limit


def resident_mib(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * 4096 / 2**20


def test_two_thousand_steps_take_no_more_memory_or_files_than_five_hundred(train, tiny_world, tmp_path) -> None:
    loaders = ("train_dataloader.dataset.dataset", "val_dataloader.dataset")
    options = [
        *(f"{loader}.data_root={tiny_world}" for loader in loaders),
        "train_dataloader.batch_size=1",
        f"train_cfg.max_epochs={NUM_STEPS // 32 + 1}",
        "train_cfg.val_interval=1000",
        "default_hooks.logger.interval=8",
        "default_hooks.checkpoint.interval=100",
    ]
    run = train("configs/tiny/densevlm.py", "--work-dir", tmp_path / "run", options=options)
    memory: dict[int, float] = {}
    files: dict[int, int] = {}
    for epoch in range(NUM_STEPS // 32 // 4, NUM_STEPS // 32 + 1):
        run.wait_for(rf"Epoch\(train\) *\[{epoch}\]\[32/32\]", seconds=1800)
        memory[32 * epoch] = resident_mib(run.process.pid)
        files[32 * epoch] = len(list(Path(f"/proc/{run.process.pid}/fd").iterdir()))
    assert run.end(seconds=1800) == 0, run.log[-3000:]
    steps = sorted(memory)
    slope = 1000 * statistics.linear_regression(steps, [memory[step] for step in steps]).slope
    print(f"memory rises by {slope:.2f} MiB per 1,000 steps; open files: {sorted(set(files.values()))}")
    assert slope < MAX_MIB_PER_THOUSAND
    # A file that is just being written counts now and then: the level is what may not rise.
    half = len(steps) // 2
    early, late = (statistics.median(files[step] for step in part) for part in (steps[:half], steps[half:]))
    assert late <= early + 1
