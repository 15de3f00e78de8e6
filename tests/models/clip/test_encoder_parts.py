import json

import pytest
import torch

from densevlm_mm.checkpoint_files import save_sealed
from densevlm_mm.models.clip.encoder_parts import describe_path, encode_gate, read_encoder_parts


def test_a_gate_goes_through_text_bit_by_bit(tmp_path) -> None:
    generator = torch.Generator().manual_seed(0)
    gate = {
        "value_gate.weight": torch.randn(2, 8, generator=generator),
        "value_gate.bias": torch.randn(2, generator=generator),
    }
    path = dict(type="values", layers=2, gate=True)
    save_sealed(
        tmp_path / "e.safetensors", {"visual.proj": torch.ones(2)}, {**describe_path(path), **encode_gate(gate)}
    )
    parts = read_encoder_parts(tmp_path / "e.safetensors")
    assert parts.dense_path == path
    assert parts.parameters.keys() == gate.keys()
    assert all(torch.equal(parts.parameters[name], value) for name, value in gate.items())


def test_files_that_say_nothing_have_no_parts(tmp_path) -> None:
    torch.save({"visual.proj": torch.ones(2)}, tmp_path / "clip.pt")
    save_sealed(tmp_path / "clip.safetensors", {"visual.proj": torch.ones(2)}, {})
    for name in ("clip.pt", "clip.safetensors"):
        parts = read_encoder_parts(tmp_path / name)
        assert parts.dense_path is None
        assert not parts.parameters


@pytest.mark.parametrize(
    "entry",
    [
        dict(dense_path="values"),
        dict(value_gate=json.dumps(dict(heads=3, float32="AAAAAAAAAAA="))),  # two numbers for three heads
        dict(value_gate=json.dumps(dict(heads=2, float32="?"))),
        dict(value_gate="[]"),
        dict(dense_blocks=json.dumps(dict(file="e.dense.safetensors"))),
    ],
)
def test_entries_that_cannot_be_read_are_refused(tmp_path, entry) -> None:
    save_sealed(tmp_path / "e.safetensors", {"visual.proj": torch.ones(2)}, entry)
    with pytest.raises(ValueError, match=r"e\.safetensors' does not say legibly how it is read densely"):
        read_encoder_parts(tmp_path / "e.safetensors")
