"""AdamW with a divided state takes AdamW's steps, and its checkpoints are AdamW's."""

import os
import signal
from pathlib import Path

import pytest
import torch
from mmengine.dist import get_rank
from mmengine.hooks import Hook

from densevlm_mm.engine.zero_adamw import ZeroAdamW
from tests.fixtures.toy_run import load, toy_runner

CONNECTED = dict(
    launcher="pytorch",
    cfg=dict(model_wrapper_cfg=dict(type="MMDistributedDataParallel", device_ids=None, broadcast_buffers=False)),
    checkpoint=dict(interval=4, max_keep_ckpts=-1),
)


def options(kind: str, **kwargs) -> dict:
    groups = dict(custom_keys={"layers.0": dict(lr_mult=0.5)})
    wrapper = dict(optimizer=dict(type=kind, lr=0.02, weight_decay=0.1), paramwise_cfg=groups)
    return dict(optim_wrapper=wrapper, **{"epochs": 4, **CONNECTED, **kwargs})


class KillFirst(Hook):
    """Ask the first process to stop in iteration 6."""

    def before_train_iter(self, runner, batch_idx, data_batch=None) -> None:
        if runner.iter == 5 and get_rank() == 0:
            os.kill(os.getpid(), signal.SIGTERM)


class FailSecond(Hook):
    """Let the second process fail in iteration 6."""

    def before_train_iter(self, runner, batch_idx, data_batch=None) -> None:
        if runner.iter == 5 and get_rank() == 1:
            raise RuntimeError("trouble")


def assert_equal(first: Path, second: Path) -> None:
    ours, theirs = load(first), load(second)
    torch.testing.assert_close(ours["state_dict"], theirs["state_dict"], rtol=0, atol=0)
    for part in ("state", "param_groups"):
        torch.testing.assert_close(ours["optimizer"][part], theirs["optimizer"][part], rtol=0, atol=0)


def test_steps_checkpoints_and_stops_are_those_of_adamw(tmp_path, in_two_processes, monkeypatch) -> None:
    monkeypatch.setenv("LOCAL_RANK", "0")
    folders = {
        name: tmp_path / name for name in ("adamw", "zero", "zero_from_adamw", "adamw_from_zero", "stop", "fail")
    }

    def run(rank: int) -> int:
        for kind, name in (("AdamW", "adamw"), ("densevlm_mm.ZeroAdamW", "zero")):
            runner = toy_runner(folders[name], **options(kind))
            runner.train()
        num_states = len(runner.optim_wrapper.optimizer.optim.state)
        for kind, name, source in (
            ("densevlm_mm.ZeroAdamW", "zero_from_adamw", "adamw"),
            ("AdamW", "adamw_from_zero", "zero"),
        ):
            toy_runner(folders[name], **options(kind), resume=folders[source] / "iter_4.pth").train()
        for name, hook, error in (("stop", KillFirst(), SystemExit), ("fail", FailSecond(), BaseException)):
            with pytest.raises(error):
                toy_runner(folders[name], **options("densevlm_mm.ZeroAdamW", custom_hooks=[hook])).train()
            toy_runner(folders[name], **options("densevlm_mm.ZeroAdamW"), resume=True).train()
        return num_states

    assert sum(in_two_processes(run)) == len(list(toy_runner(tmp_path / "x").model.parameters()))  # each once
    for name in set(folders) - {"adamw"}:
        assert_equal(folders[name] / "iter_12.pth", folders["adamw"] / "iter_12.pth")
    for name in ("stop", "fail"):
        assert (folders[name] / "iter_5.pth").is_file()


def test_one_process_has_nothing_to_divide() -> None:
    with pytest.raises(ValueError, match="use AdamW"):
        ZeroAdamW([torch.nn.Parameter(torch.zeros(1))], lr=0.1)


def test_processes_that_resume_from_different_places_are_refused(tmp_path, in_two_processes, monkeypatch) -> None:
    monkeypatch.setenv("LOCAL_RANK", "0")

    def run(rank: int) -> str:
        toy_runner(tmp_path / "shared", **options("AdamW", epochs=1)).train()
        own_disk = toy_runner(
            tmp_path / ("shared" if rank == 0 else "own"), resume=rank == 0, **options("AdamW", epochs=2)
        )
        with pytest.raises(ValueError, match="a work directory that the machines do not share") as caught:
            own_disk.train()
        return str(caught.value)

    assert in_two_processes(run)[0].startswith("the processes start at different iterations (3, 0)")
