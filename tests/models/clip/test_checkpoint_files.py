import os
import pickle
import warnings
from pathlib import Path

import pytest
import torch
from mmengine.logging import MessageHub
from safetensors.torch import save_file

from densevlm_mm.models.clip.checkpoint_files import checkpoint_format, read_content, read_metadata

WEIGHTS = {"visual.proj": torch.arange(6.0).reshape(2, 3)}


class Scripted(torch.nn.Module):
    """As OpenAI's archives: weights beside three integers."""

    def __init__(self):
        super().__init__()
        self.visual = torch.nn.Linear(3, 2)
        for name in ("input_resolution", "context_length", "vocab_size"):
            self.register_buffer(name, torch.tensor(7))

    def forward(self, x):
        return self.visual(x)


def write(path: Path, kind: str) -> Path:
    if kind == "safetensors":
        save_file(WEIGHTS, path, metadata={"format": "open_clip"})
    elif kind == "torch":
        torch.save(WEIGHTS, path)
    elif kind == "legacy torch":
        torch.save(WEIGHTS, path, _use_new_zipfile_serialization=False)
    else:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.jit.script(Scripted()).save(str(path))
    return path


@pytest.mark.parametrize("kind", ["safetensors", "torch", "legacy torch", "torchscript"])
def test_formats_are_told_by_content_not_by_name(tmp_path, kind):
    path = write(tmp_path / "weights.bin", kind)
    assert checkpoint_format(path) == kind.removeprefix("legacy ")
    content = read_content(path)
    if kind == "torchscript":
        assert content.keys() == {"visual.weight", "visual.bias"}
    else:
        assert torch.equal(content["visual.proj"], WEIGHTS["visual.proj"])


def test_metadata_is_read_from_safetensors_only(tmp_path):
    assert read_metadata(write(tmp_path / "a.safetensors", "safetensors")) == {"format": "open_clip"}
    assert read_metadata(write(tmp_path / "a.pt", "torch")) == {}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n", "git-LFS pointer"),
        (b"\n<!DOCTYPE html><html><title>Sign in</title>", "HTML page"),
        (b"<html></html>", "HTML page"),
        (b'{"model_cfg": {}}', "JSON text"),
        (b"\x00\x01\x02 some other file that is long enough to have a header", "no checkpoint"),
    ],
)
def test_files_that_are_no_checkpoints_say_what_they_are(tmp_path, content, message):
    path = tmp_path / "weights.pt"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message) as raised:
        read_content(path)
    assert "weights.pt" in str(raised.value)


@pytest.mark.parametrize("kind", ["safetensors", "torch", "legacy torch", "torchscript"])
def test_truncated_files_say_so(tmp_path, kind):
    path = write(tmp_path / "weights.pt", kind)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(ValueError, match=r"cut short|damaged"):
        read_content(path)


def test_a_missing_file_names_the_alternatives(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"'open_clip:<tag>'"):
        read_content(tmp_path / "weights.pt")


class Payload:
    def __reduce__(self):
        return (os.getenv, ("HOME",))


def test_pickled_objects_are_refused_unless_trusted(tmp_path):
    path = tmp_path / "weights.pt"
    torch.save({"state_dict": WEIGHTS, "args": Payload()}, path)
    with pytest.raises(ValueError, match="trust=True"):
        read_content(path)
    assert torch.equal(read_content(path, trust=True)["state_dict"]["visual.proj"], WEIGHTS["visual.proj"])


def test_a_plain_pickle_is_refused(tmp_path):
    path = tmp_path / "weights.pkl"
    path.write_bytes(pickle.dumps({"visual.proj": Payload()}, protocol=2))
    with pytest.raises(ValueError, match=r"weights.pkl"):
        read_content(path)


def test_checkpoints_of_mmengine_need_no_trust(tmp_path):
    """A runner stores its log buffers and numpy scalars beside the weights."""
    hub = MessageHub.get_instance("encoder_test_checkpoint")
    hub.update_scalar("train/loss", 1.5)
    torch.save({"state_dict": WEIGHTS, "message_hub": hub.state_dict()}, tmp_path / "epoch_1.pth")
    assert torch.equal(read_content(tmp_path / "epoch_1.pth")["state_dict"]["visual.proj"], WEIGHTS["visual.proj"])
