import io
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from densevlm_mm.checkpoint_files import checkpoint_format


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n", "git-LFS pointer"),
        (b"\n<!DOCTYPE html><html><title>Sign in</title>", "HTML page"),
        (b"<html></html>", "HTML page"),
        (b"<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>", "XML page"),
        (b'{"model_cfg": {}}', "JSON text"),
        (b"[1, 2]", "JSON text"),
        (b"see the README for the weights", "a text file"),
        (b"\x1f\x8b\x08rest", "gzip archive: unpack"),
        (b"\x89HDF\r\n\x1a\n", "HDF5"),
        (b"GGUF\x03", "GGUF"),
        (b"\x08\x07\x12\x07pytorch", "ONNX graph"),
        (b"\x93NUMPY\x01", "NumPy array"),
        (b"name".ljust(257, b"\0") + b"ustar", "tar archive"),
        (b"\x00\x01\x02 some other file that is long enough to have a header", "of no known format"),
    ],
)
def test_files_that_are_no_checkpoints_say_what_they_are(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "weights.pt"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message) as raised:
        checkpoint_format(path)
    assert "weights.pt" in str(raised.value)
    assert "\n" not in str(raised.value)


def test_zip_archives_of_other_kinds_say_what_is_inside(tmp_path: Path) -> None:
    np.savez(tmp_path / "big_vision.npz", a=np.ones(2))
    with pytest.raises(ValueError, match="NumPy archive"):
        checkpoint_format(tmp_path / "big_vision.npz")
    with zipfile.ZipFile(tmp_path / "packed.pt", "w") as archive:
        archive.writestr("weights/ViT-B-16.pt", b"x")
    with pytest.raises(ValueError, match=r"without weights of PyTorch \(weights/ViT-B-16\.pt\): unpack"):
        checkpoint_format(tmp_path / "packed.pt")
    buffer = io.BytesIO()
    torch.save({"a": torch.ones(2)}, buffer)
    (tmp_path / "half.pt").write_bytes(buffer.getvalue()[:-30])
    with pytest.raises(ValueError, match="cut short"):
        checkpoint_format(tmp_path / "half.pt")


def test_a_missing_file_names_the_alternatives(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"'open_clip:<tag>'"):
        checkpoint_format(tmp_path / "weights.pt")


def test_a_missing_file_names_those_that_may_be_meant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that moved: into the package's assets, or into another folder around; and one that is spelt differently."""
    with pytest.raises(FileNotFoundError, match=r"did you mean .*tiny_scenes/assets/tiny_scenes_student\.safetensors"):
        checkpoint_format(tmp_path / "tiny_scenes_student.safetensors")
    monkeypatch.chdir(tmp_path)
    for file in ("runs/a/encoder_final.pt", "weights/EVA02_CLIP_B_psz16_s8B.pt"):
        Path(file).parent.mkdir(parents=True, exist_ok=True)
        Path(file).touch()
    for missing, meant in (
        ("runs/b/encoder_final.pt", "runs/a/encoder_final.pt"),
        ("encoder_final/none/encoder_final.pt", "none"),
        ("EVA02_CLIP_B_psz16_s8B.pt", "weights/EVA02_CLIP_B_psz16_s8B.pt"),
        ("weights/EVA02_CLIP_B_psz14_s8B.pt", "weights/EVA02_CLIP_B_psz16_s8B.pt"),
    ):
        with pytest.raises(FileNotFoundError) as raised:
            checkpoint_format(missing)
        assert (f"did you mean {meant}?" in str(raised.value)) == (meant != "none")


def test_folders_and_files_that_may_not_be_read(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"is a folder.*open_clip_config\.json"):
        checkpoint_format(tmp_path)
    path = tmp_path / "weights.pt"
    torch.save({}, path)
    path.chmod(0)
    if os.access(path, os.R_OK):
        pytest.skip("this user may read everything")
    with pytest.raises(PermissionError, match=r"weights\.pt.*may not be read"):
        checkpoint_format(path)
