import hashlib
import io
import json
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer
from mmengine.model import BaseModel, BaseModule
from mmengine.runner import CheckpointLoader, Runner, load_checkpoint
from torch import Tensor, nn

from densevlm_mm.compat.checkpoint_loading import allow_runner_checkpoints, download, load, load_url
from tests.fixtures.hostile_files import CallsOnLoad


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


@pytest.mark.parametrize(
    ("owner", "name"),
    [(str, "format"), (HistoryBuffer, "__init__"), (HistoryBuffer, "update"), (torch.Tensor, "numpy"), (dict, "mean")],
)
def test_crafted_getattr_is_refused(owner: type, name: str, tmp_path: Path) -> None:
    torch.save({"state_dict": {}, "payload": CallsOnLoad(getattr, owner, name)}, tmp_path / "file.pth")
    with pytest.raises((pickle.UnpicklingError, ValueError), match=r"getattr|Unsupported"):
        torch.load(tmp_path / "file.pth")


def test_crafted_getattr_on_an_allowed_class_names_the_danger(tmp_path: Path) -> None:
    torch.save(CallsOnLoad(getattr, HistoryBuffer, "__subclasses__"), tmp_path / "file.pth")
    with pytest.raises(ValueError, match="no plain checkpoint, do not trust it"):
        torch.load(tmp_path / "file.pth")


@pytest.mark.parametrize("function", [os.system, eval, exec])
def test_file_that_would_run_code_is_refused(function: Callable[[str], Any], tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    command = f"touch {trace}" if function is os.system else f"open({str(trace)!r}, 'w')"
    torch.save({"payload": CallsOnLoad(function, command)}, tmp_path / "file.pth")
    with pytest.raises(pickle.UnpicklingError):
        torch.load(tmp_path / "file.pth")
    assert not trace.exists()


def test_allowing_twice_changes_nothing() -> None:
    before = torch.serialization.get_safe_globals()
    allow_runner_checkpoints()
    assert len(torch.serialization.get_safe_globals()) == len(before)


def test_a_config_text_in_a_resumed_checkpoint_is_not_run(trained: Runner, tmp_path: Path) -> None:
    """mmengine parses it as Python; the one that it stores itself (`meta.cfg`) is read by inferencers."""
    trace = tmp_path / "trace"
    checkpoint = torch.load(Path(trained.work_dir) / "epoch_1.pth")
    code = f"import os\nos.mkdir({str(trace)!r})\ngpu_ids = [0]"
    checkpoint["meta"].update(config=code, cfg=code)
    checkpoint["message_hub"]["runtime_info"]["cfg"] = code
    torch.save(checkpoint, tmp_path / "epoch_1.pth")
    resumed = build_runner(
        tmp_path / "run", "config_text", max_epochs=2, resume=True, load_from=str(tmp_path / "epoch_1.pth")
    )
    resumed.train()
    assert not trace.exists()
    loaded = CheckpointLoader.load_checkpoint(str(tmp_path / "epoch_1.pth"))
    assert not {"config", "cfg"} & {*loaded["meta"], *loaded["message_hub"]["runtime_info"]}
    assert loaded["meta"]["iter"] == 2


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where torch and mmengine keep downloads; a file that lies there is not loaded from the net again."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("MMENGINE_HOME", str(tmp_path))
    folder = tmp_path / "torch" / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    return folder


def save_by_scheme(hub: Path, scheme: str, content: Any) -> str:
    """Put a checkpoint where a name of mmengine's leads to, and return the name."""
    if scheme == "local":
        torch.save(content, hub / "model.pth")
        return str(hub / "model.pth")
    if scheme in ("http://", "https://"):
        torch.save(content, hub / "model.pth")
        return f"{scheme}host.invalid/models/model.pth"
    if scheme == "open-mmlab file":
        torch.save(content, hub.parents[2] / "mine.pth")
        (hub.parents[2] / "open_mmlab.json").write_text(json.dumps({"mine": "mine.pth"}))
        return "open-mmlab://mine"
    # The releases' names end in digits of their digest, which a planted file has not: the name is changed as well.
    (hub.parents[2] / "open_mmlab.json").write_text(json.dumps({"mine": "https://host.invalid/mine.pth"}))
    torch.save(content, hub / "mine.pth")
    return "open-mmlab://mine"


SCHEMES = ["local", "http://", "https://", "open-mmlab file", "open-mmlab url"]


@pytest.mark.parametrize("scheme", SCHEMES)
def test_no_scheme_runs_code(hub: Path, tmp_path: Path, scheme: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")  # does not count
    trace = tmp_path / "trace"
    name = save_by_scheme(hub, scheme, {"state_dict": {}, "payload": CallsOnLoad(os.mkdir, str(trace))})
    with pytest.raises(ValueError, match=r"\.pth' is refused.*could run any code"):
        CheckpointLoader.load_checkpoint(name)
    assert not trace.exists()


@pytest.mark.parametrize("scheme", SCHEMES)
def test_every_scheme_still_loads(hub: Path, scheme: str) -> None:
    name = save_by_scheme(hub, scheme, {"state_dict": {"weight": torch.ones(2, 3)}})
    module = nn.Linear(3, 2, bias=False)
    load_checkpoint(module, name)
    assert torch.equal(module.weight, torch.ones(2, 3))


def test_the_releases_of_torchvision_are_read_by_the_same_loader(hub: Path, tmp_path: Path) -> None:
    """And refused here, since the planted file is none."""
    torch.save(CallsOnLoad(os.mkdir, str(tmp_path / "trace")), hub / "resnet18-f37072fd.pth")
    with pytest.raises(ValueError, match=r"resnet18-f37072fd\.pth' is not what its name says"):
        CheckpointLoader.load_checkpoint("torchvision://resnet18")
    assert not (tmp_path / "trace").exists()


def test_object_stores_are_read_by_the_same_loader(tmp_path: Path) -> None:
    """Their clients give bytes, which mmengine hands to torch.load."""
    good, bad = io.BytesIO(), io.BytesIO()
    torch.save({"weight": torch.ones(2)}, good)
    torch.save(CallsOnLoad(os.mkdir, str(tmp_path / "trace")), bad)
    assert torch.equal(load(io.BytesIO(good.getvalue()))["weight"], torch.ones(2))
    with pytest.raises(ValueError, match="could run any code"):
        load(io.BytesIO(bad.getvalue()), weights_only=False)
    assert not (tmp_path / "trace").exists()


class Pretrained(BaseModule):
    """As the backbones of mmdet and mmseg: weights named by `init_cfg`."""

    def __init__(self, checkpoint: str) -> None:
        super().__init__(init_cfg=dict(type="Pretrained", checkpoint=checkpoint))
        self.linear = nn.Linear(3, 2)


@pytest.mark.parametrize("scheme", ["local", "https://"])
@pytest.mark.parametrize("damage", ["code", "nan", "html", "hole"])
def test_what_mmdet_and_mmseg_load_on_their_own_is_checked(hub: Path, tmp_path: Path, scheme: str, damage: str) -> None:
    weights = {"linear.weight": torch.full((2, 3), 0.7), "linear.bias": torch.ones(2)}
    trace = tmp_path / "trace"
    if damage == "code":
        weights["payload"] = CallsOnLoad(os.mkdir, str(trace))  # type: ignore[assignment]
    if damage == "nan":
        weights["linear.bias"][1] = float("nan")
    name = save_by_scheme(hub, scheme, {"state_dict": weights})
    file = hub / "model.pth"
    if damage == "html":
        file.write_text("<html>Not found</html>")
    if damage == "hole":
        stored = torch.full((2, 3), 0.7).numpy().tobytes()
        file.write_bytes(file.read_bytes().replace(stored, bytes(len(stored))))
    message = {"code": "could run any code", "nan": r"'state_dict\.linear\.bias' holds nan", "html": "HTML page"}
    with pytest.raises(ValueError, match=rf"model\.pth.*{message.get(damage, 'CRC')}"):
        Pretrained(name).init_weights()
    assert not trace.exists()


@pytest.mark.parametrize("name", ["a-{digest}.pth", "a_20200130-{digest}.pth"])
def test_downloads_are_compared_with_the_digest_in_their_name(tmp_path: Path, name: str) -> None:
    """A file:// URL goes through the same download as one of the net."""
    content = io.BytesIO()
    torch.save({"weight": torch.ones(2)}, content)
    digest = hashlib.sha256(content.getvalue()).hexdigest()[:8]
    source = tmp_path / name.format(digest=digest)
    source.write_bytes(content.getvalue())
    assert torch.equal(load_url(source.as_uri(), str(tmp_path / "hub"))["weight"], torch.ones(2))
    wrong = tmp_path / name.format(digest="0123456789abcdef")
    wrong.write_bytes(content.getvalue())
    with pytest.raises(ValueError, match=f"its SHA-256 begins with {digest}.*Delete it"):
        load_url(wrong.as_uri(), str(tmp_path / "hub"))


@pytest.mark.parametrize("name", ["vit-b16.pth", "model-20200130.pth", "plain.pth"])
def test_names_that_hold_no_digest_are_not_compared(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"anything")
    assert download((tmp_path / name).as_uri(), tmp_path / "hub").read_bytes() == b"anything"


def test_the_loaders_are_replaced_once() -> None:
    import mmengine.runner.checkpoint as module

    from densevlm_mm.compat.checkpoint_loading import install_checkpoint_reader

    before = (module.torch, module.load_url, module.CheckpointLoader.load_checkpoint)
    install_checkpoint_reader()
    assert (module.torch, module.load_url, module.CheckpointLoader.load_checkpoint) == before
    assert module.torch.nn is torch.nn
    assert torch.load is not module.torch.load
