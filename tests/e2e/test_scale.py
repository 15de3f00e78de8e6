"""One process, two machines, accumulated gradients and a divided optimizer train the same weights."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from densevlm_mm.apis import build_runner, load_experiment
from densevlm_mm.models.encoders import DenseImageEncoder
from tests.e2e.conftest import ROOT, free_port

CONFIG = "configs/tiny/densevlm.py"
STUDENT = "densevlm_mm/tiny_scenes/assets/tiny_scenes_student.safetensors"


@pytest.fixture
def options(small_data_options: list[str]) -> list[str]:
    """Four steps of eight images, no validation."""
    changed = ("train_dataloader.batch_size", "default_hooks.checkpoint")
    # The key biases of attention have a gradient of 0 up to rounding, which AdamW would blow up to steps of full size
    # with its default eps.
    return [
        *(option for option in small_data_options if not option.startswith(changed)),
        "optim_wrapper.optimizer.eps=1e-5",
        "train_cfg.val_begin=9",
    ]


def student(work_dir: Path, last: int = 4) -> dict[str, torch.Tensor]:
    return torch.load(work_dir / f"iter_{last}.pth", weights_only=True)["state_dict"]


def on_two_machines(folder: Path, *flags: object) -> list[subprocess.CompletedProcess]:
    """Run tools/dist_train.sh as on two machines: each has its own copy of the project and its own folders."""
    port = free_port()
    running = []
    for rank in range(2):
        tree = folder / f"machine_{rank}"
        for name in ("configs", "densevlm_mm", "tools"):
            shutil.copytree(ROOT / name, tree / name)
        environment = dict(
            os.environ,
            PATH=f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            PYTHONPATH=str(tree),
            DENSEVLM_MM_CACHE=str(tree / "cache"),
            OMP_NUM_THREADS="1",
            CUDA_VISIBLE_DEVICES="",
            NNODES="2",
            NODE_RANK=str(rank),
            MASTER_ADDR="127.0.0.1",
            PORT=port,
        )
        command = ["tools/dist_train.sh", CONFIG, "1", "--work-dir", "work", *map(str, flags)]
        pipes = dict(stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        running.append(subprocess.Popen(command, cwd=tree, env=environment, **pipes))
    outputs = [process.communicate(timeout=600)[0] for process in running]
    return [subprocess.CompletedProcess("", p.returncode, text) for p, text in zip(running, outputs, strict=True)]


def test_two_machines_train_like_one_process_with_the_whole_batch(run_tool, options, tmp_path) -> None:
    run_tool(
        "train.py", CONFIG, "--work-dir", tmp_path / "one", "--cfg-options", *options, "train_dataloader.batch_size=8"
    )
    one = student(tmp_path / "one")
    start = DenseImageEncoder(checkpoint=str(ROOT / STUDENT)).state_dict()
    moved = max((one[f"encoder.{name}"] - value).abs().max().item() for name, value in start.items())
    assert moved > 1e-4  # the tolerance below says something

    half = [*options, "train_dataloader.batch_size=4", "optim_wrapper.optimizer.type=ZeroAdamW"]
    for machine in on_two_machines(tmp_path, "--cfg-options", *half):
        assert machine.returncode == 0, machine.stdout[-4000:]
    two = student(tmp_path / "machine_0" / "work")
    torch.testing.assert_close(two, one, rtol=0, atol=1e-5)
    assert not list((tmp_path / "machine_1" / "work").glob("*.pth"))  # the first machine's disk has the checkpoints

    assert DenseImageEncoder(checkpoint=str(tmp_path / "machine_0/work/iter_4.pth")).model_name == "TinyScenes-S"


def test_accumulated_gradients_train_like_the_whole_batch(three_iterations, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(ROOT)
    weights = []
    for batch_size, count in ((4, 1), (2, 2)):
        settings = {
            **three_iterations,
            "train_dataloader.batch_size": batch_size,
            "optim_wrapper.accumulative_counts": count,
            "optim_wrapper.optimizer.eps": 1e-5,
        }
        cfg = load_experiment(CONFIG, settings, str(tmp_path / f"by_{count}"))
        cfg.param_scheduler = None  # schedules follow the iterations, of which there are twice as many
        cfg.update(val_cfg=None, val_dataloader=None, val_evaluator=None)
        cfg.experiment_name = f"{tmp_path.name}_{count}"
        build_runner(cfg).train()
        weights.append(student(tmp_path / f"by_{count}", 3 * count))
    start = DenseImageEncoder(checkpoint=STUDENT).state_dict()
    assert max((weights[0][f"encoder.{name}"] - value).abs().max().item() for name, value in start.items()) > 1e-4
    torch.testing.assert_close(weights[1], weights[0], rtol=0, atol=1e-5)
