from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from densevlm_mm.checkpoint_files import read_checkpoint, save_sealed
from densevlm_mm.checkpoint_files.sealed_safetensors import content_digest

TENSORS = {"b": torch.arange(4.0), "a": torch.tensor(3), "half": torch.ones(2, 2).bfloat16()}


def test_any_reader_of_safetensors_reads_them(tmp_path: Path) -> None:
    save_sealed(tmp_path / "x" / "w.safetensors", TENSORS, {"model": "M"})
    found = load_file(tmp_path / "x" / "w.safetensors")
    assert found.keys() == TENSORS.keys()
    assert all(torch.equal(found[name], value) for name, value in TENSORS.items())
    with safe_open(tmp_path / "x" / "w.safetensors", "pt") as file:
        assert file.metadata() == {"model": "M", "sha256": content_digest(TENSORS, {"model": "M"})}


def test_the_digest_is_of_content_alone() -> None:
    digest = content_digest(TENSORS, {"x": "1", "y": "2"})
    assert digest == content_digest(dict(reversed(TENSORS.items())), {"y": "2", "x": "1", "sha256": "old"})
    for changed, metadata in (
        ({**TENSORS, "b": torch.tensor([0.0, 1, 2, 4])}, {"x": "1", "y": "2"}),
        ({**TENSORS, "b": torch.arange(4.0).view(2, 2)}, {"x": "1", "y": "2"}),
        ({**TENSORS, "a": torch.tensor(3, dtype=torch.int32)}, {"x": "1", "y": "2"}),
        (TENSORS, {"x": "1", "y": "3"}),
    ):
        assert content_digest(changed, metadata) != digest


def test_tensors_that_share_memory_are_stored_apart(tmp_path: Path) -> None:
    whole = torch.arange(6.0).view(2, 3)
    save_sealed(tmp_path / "w.safetensors", {"whole": whole, "row": whole[0], "turned": whole.t()}, {})
    found = read_checkpoint(tmp_path / "w.safetensors").content
    assert torch.equal(found["row"], whole[0])
    assert torch.equal(found["turned"], whole.t())


@pytest.mark.parametrize("change", ["tensor", "metadata"])
def test_a_changed_file_is_refused(tmp_path: Path, change: str) -> None:
    path = tmp_path / "w.safetensors"
    save_sealed(path, TENSORS, {"mean": "0.5"})
    old, new = (b"\x00\x00\x40\x40", b"\x00\x00\x00\x00") if change == "tensor" else (b'"0.5"', b'"0.4"')
    assert path.read_bytes().count(old) == 1
    path.write_bytes(path.read_bytes().replace(old, new))
    with pytest.raises(ValueError, match=r"w\.safetensors.*not what was written \(SHA-256\)"):
        read_checkpoint(path)
    assert read_checkpoint(path, verify=False).metadata["mean"] in ("0.5", "0.4")


def test_files_without_a_seal_pass(tmp_path: Path) -> None:
    save_file(TENSORS, tmp_path / "w.safetensors")
    assert torch.equal(read_checkpoint(tmp_path / "w.safetensors").content["b"], TENSORS["b"])


def test_the_seal_is_not_for_callers() -> None:
    with pytest.raises(ValueError, match="sha256"):
        save_sealed("w.safetensors", TENSORS, {"sha256": "0"})
