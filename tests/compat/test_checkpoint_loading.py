import io
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer
from mmengine.model import BaseModel
from mmengine.runner import Runner
from torch import Tensor

from densevlm_mm.compat.checkpoint_loading import allow_runner_checkpoints


class Toy(BaseModel):
    def __init__(self) -> None:
        super().__init__()
        self.linear = torch.nn.Linear(3, 1)

    def forward(self, inputs: list[Tensor], mode: str = "tensor") -> dict[str, Tensor]:
        return {"loss": self.linear(torch.stack(inputs)).square().mean()}


def build_runner(work_dir: Path, name: str, max_epochs: int, **kwargs: Any) -> Runner:
    torch.manual_seed(0)
    dataset = [{"inputs": torch.full((3,), float(i))} for i in range(4)]
    return Runner(
        model=Toy(),
        work_dir=str(work_dir),
        train_dataloader=dict(
            dataset=dataset, batch_size=2, sampler=dict(type="DefaultSampler", shuffle=False), num_workers=0
        ),
        train_cfg=dict(by_epoch=True, max_epochs=max_epochs),
        optim_wrapper=dict(optimizer=dict(type="AdamW", lr=0.1)),
        param_scheduler=dict(type="LinearLR", start_factor=0.1, by_epoch=False),
        experiment_name=name,
        log_level="ERROR",
        **kwargs,
    )


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Runner:
    runner = build_runner(tmp_path_factory.mktemp("run"), "checkpoint_loading_first", max_epochs=2)
    runner.train()
    return runner


def test_runner_checkpoint_loads_with_the_default_of_torch(trained: Runner) -> None:
    checkpoint = torch.load(Path(trained.work_dir) / "epoch_2.pth")
    losses = checkpoint["message_hub"]["log_scalars"]["train/loss"]
    assert isinstance(losses, HistoryBuffer)
    values = losses.data[0]
    assert len(values) == 4
    assert losses.statistics("mean", 2) == pytest.approx(np.mean(values[-2:]))
    assert losses.statistics("max") == max(values)
    assert losses.statistics("current") == values[-1]


def test_resumed_run_ends_like_the_uninterrupted_one(trained: Runner) -> None:
    work_dir = Path(trained.work_dir)
    resumed = build_runner(
        work_dir, "checkpoint_loading_second", max_epochs=2, resume=True, load_from=str(work_dir / "epoch_1.pth")
    )
    resumed.train()
    torch.testing.assert_close(resumed.model.state_dict(), trained.model.state_dict(), rtol=0, atol=0)
    history, expected = (run.message_hub.get_scalar("train/loss").data[0] for run in (resumed, trained))
    np.testing.assert_array_equal(history, expected)


@pytest.mark.parametrize(
    "value",
    [
        np.arange(3),
        np.float32(2.5),
        np.array([True, False]),
        np.array(["a", "bc"]),
        np.ones(2, np.float16),
        np.uint8(7),
    ],
    ids=str,
)
def test_numpy_values_load(value: np.ndarray | np.generic, tmp_path: Path) -> None:
    torch.save({"value": value}, tmp_path / "file.pth")
    np.testing.assert_array_equal(torch.load(tmp_path / "file.pth")["value"], value)


def test_arrays_pickled_by_numpy_1_load() -> None:
    buffer = io.BytesIO()
    torch.save({"value": np.arange(3.0), "scalar": np.float64(1)}, buffer, _use_new_zipfile_serialization=False)
    old = buffer.getvalue().replace(b"numpy._core.multiarray", b"numpy.core.multiarray")
    assert b"numpy.core.multiarray" in old
    loaded = torch.load(io.BytesIO(old))
    np.testing.assert_array_equal(loaded["value"], np.arange(3.0))
    assert loaded["scalar"] == 1


class Payload:
    def __init__(self, function: Callable[..., Any], *args: Any) -> None:
        self.call = (function, args)

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return self.call


@pytest.mark.parametrize(
    ("owner", "name"),
    [(str, "format"), (HistoryBuffer, "__init__"), (HistoryBuffer, "update"), (torch.Tensor, "numpy"), (dict, "mean")],
)
def test_crafted_getattr_is_refused(owner: type, name: str, tmp_path: Path) -> None:
    torch.save({"state_dict": {}, "payload": Payload(getattr, owner, name)}, tmp_path / "file.pth")
    with pytest.raises((pickle.UnpicklingError, ValueError), match=r"getattr|Unsupported"):
        torch.load(tmp_path / "file.pth")


def test_crafted_getattr_on_an_allowed_class_names_the_danger(tmp_path: Path) -> None:
    torch.save(Payload(getattr, HistoryBuffer, "__subclasses__"), tmp_path / "file.pth")
    with pytest.raises(ValueError, match="no plain checkpoint, do not trust it"):
        torch.load(tmp_path / "file.pth")


@pytest.mark.parametrize("function", [os.system, eval, exec])
def test_file_that_would_run_code_is_refused(function: Callable[[str], Any], tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    command = f"touch {trace}" if function is os.system else f"open({str(trace)!r}, 'w')"
    torch.save({"payload": Payload(function, command)}, tmp_path / "file.pth")
    with pytest.raises(pickle.UnpicklingError):
        torch.load(tmp_path / "file.pth")
    assert not trace.exists()


def test_allowing_twice_changes_nothing() -> None:
    before = torch.serialization.get_safe_globals()
    allow_runner_checkpoints()
    assert len(torch.serialization.get_safe_globals()) == len(before)
