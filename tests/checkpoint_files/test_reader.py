import os
import pickle
import warnings
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mmengine.logging import MessageHub
from safetensors.torch import save_file

from densevlm_mm.checkpoint_files import checkpoint_format, read_checkpoint, save_sealed
from tests.fixtures.hostile_files import CallsOnLoad

WEIGHTS = {"visual.proj": torch.arange(6.0).reshape(2, 3) + 1}
KINDS = ["safetensors", "sealed", "torch", "legacy torch", "torchscript"]


class Scripted(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.visual = torch.nn.Linear(3, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.visual(x)


def write(path: Path, kind: str) -> Path:
    if kind == "safetensors":
        save_file(WEIGHTS, path, metadata={"format": "open_clip"})
    elif kind == "sealed":
        save_sealed(path, WEIGHTS, {"format": "open_clip"})
    elif kind == "torch":
        torch.save(WEIGHTS, path)
    elif kind == "legacy torch":
        torch.save(WEIGHTS, path, _use_new_zipfile_serialization=False)
    else:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.jit.script(Scripted()).save(str(path))
    return path


@pytest.mark.parametrize("verify", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_formats_are_told_by_content_not_by_name(tmp_path: Path, kind: str, verify: bool) -> None:
    path = write(tmp_path / "weights.bin", kind)
    assert checkpoint_format(path) == {"legacy torch": "torch", "sealed": "safetensors"}.get(kind, kind)
    file = read_checkpoint(path, verify=verify)
    if kind == "torchscript":
        assert file.content.keys() == {"visual.weight", "visual.bias"}
    else:
        assert torch.equal(file.content["visual.proj"], WEIGHTS["visual.proj"])
    assert file.metadata.get("format") == ("open_clip" if kind in ("safetensors", "sealed") else None)


@pytest.mark.parametrize("verify", [True, False])
@pytest.mark.parametrize("name", ["weights.safetensors", "weights.onnx.pt", "weights"])
def test_a_wrong_ending_does_not_matter(tmp_path: Path, name: str, verify: bool) -> None:
    """torch takes '.safetensors' at its word."""
    path = write(tmp_path / name, "torch")
    assert torch.equal(read_checkpoint(path, verify=verify).content["visual.proj"], WEIGHTS["visual.proj"])


@pytest.mark.parametrize("kind", KINDS)
def test_truncated_files_say_so(tmp_path: Path, kind: str) -> None:
    path = write(tmp_path / "weights.pt", kind)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(ValueError, match=r"cut short|damaged"):
        read_checkpoint(path)


@pytest.mark.parametrize("kind", ["sealed", "torch", "torchscript"])
def test_a_hole_of_zeros_is_noticed(tmp_path: Path, kind: str) -> None:
    """torch itself reads zeros without a word."""
    path = write(tmp_path / "weights.pt", kind)
    content = path.read_bytes()
    weights = next(iter(read_checkpoint(path).content.values())).numpy().tobytes()
    assert content.count(weights) == 1
    path.write_bytes(content.replace(weights, bytes(len(weights))))
    if kind == "torch":
        assert not torch.load(path)["visual.proj"].any()
    with pytest.raises(ValueError, match=r"weights\.pt.*damaged.*(CRC|SHA-256)"):
        read_checkpoint(path)


def test_files_written_without_checksums_are_read(tmp_path: Path) -> None:
    before = torch.serialization.get_crc32_options()
    torch.serialization.set_crc32_options(False)
    try:
        torch.save(WEIGHTS, tmp_path / "weights.pt")
    finally:
        torch.serialization.set_crc32_options(before)
    assert torch.equal(read_checkpoint(tmp_path / "weights.pt").content["visual.proj"], WEIGHTS["visual.proj"])


@pytest.mark.parametrize("zipped", [True, False])
def test_pickled_objects_are_refused_unless_trusted(tmp_path: Path, zipped: bool) -> None:
    path, trace = tmp_path / "weights.pt", tmp_path / "trace"
    torch.save(
        {"state_dict": WEIGHTS, "args": CallsOnLoad(os.mkdir, str(trace))}, path, _use_new_zipfile_serialization=zipped
    )
    for verify in (True, False):
        with pytest.raises(ValueError, match=r"weights\.pt.*could run any code.*trust=True"):
            read_checkpoint(path, verify=verify)
    assert not trace.exists()
    found = read_checkpoint(path, trust=True).content["state_dict"]
    assert torch.equal(found["visual.proj"], WEIGHTS["visual.proj"])
    assert trace.exists()


def test_the_environment_cannot_allow_what_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    torch.save(CallsOnLoad(os.mkdir, str(tmp_path / "trace")), tmp_path / "weights.pt")
    with pytest.raises(ValueError, match="could run any code"):
        read_checkpoint(tmp_path / "weights.pt")
    assert not (tmp_path / "trace").exists()


def test_a_plain_pickle_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "weights.pkl"
    path.write_bytes(pickle.dumps({"visual.proj": CallsOnLoad(os.mkdir, str(tmp_path / "trace"))}, protocol=2))
    with pytest.raises(ValueError, match=r"weights.pkl"):
        read_checkpoint(path)
    assert not (tmp_path / "trace").exists()


def test_checkpoints_of_mmengine_need_no_trust(tmp_path: Path) -> None:
    """A runner stores its log buffers and numpy scalars beside the weights."""
    hub = MessageHub.get_instance("encoder_test_checkpoint")
    hub.update_scalar("train/loss", 1.5)
    torch.save({"state_dict": WEIGHTS, "message_hub": hub.state_dict(), "meta": {}}, tmp_path / "epoch_1.pth")
    file = read_checkpoint(tmp_path / "epoch_1.pth")
    assert file.is_runner_checkpoint
    assert torch.equal(file.content["state_dict"]["visual.proj"], WEIGHTS["visual.proj"])


@cache
def sample(kind: str) -> bytes:
    with TemporaryDirectory() as folder:
        return write(Path(folder) / "weights.pt", kind).read_bytes()


@settings(max_examples=200, deadline=None, derandomize=True)
@given(kind=st.sampled_from(KINDS), data=st.data())
def test_whatever_happened_to_a_file_it_is_read_or_refused_in_one_line(
    tmp_path_factory: pytest.TempPathFactory, kind: str, data: st.DataObject
) -> None:
    """Overwritten, cut and stretched anywhere; what has a checksum is read as it was or not at all."""
    content = bytearray(sample(kind))
    start = data.draw(st.integers(0, len(content) - 1), label="start")
    patch = data.draw(st.binary(max_size=64) | st.just(bytes(64)), label="patch")
    content[start : start + data.draw(st.sampled_from([len(patch), 0, 64]), label="cut")] = patch
    path = tmp_path_factory.getbasetemp() / "damaged.pt"
    path.write_bytes(content)
    refused = None
    try:
        found = read_checkpoint(path).content
    except ValueError as error:
        refused = str(error)
    if refused is not None:
        assert "damaged.pt" in refused
        assert "\n" not in refused
    elif kind in ("sealed", "torch"):
        assert torch.equal(found["visual.proj"], WEIGHTS["visual.proj"])
