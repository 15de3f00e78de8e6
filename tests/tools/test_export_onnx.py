import runpy
import sys
from pathlib import Path

import onnxruntime
import pytest

ROOT = Path(__file__).parents[2]
WEIGHTS = ROOT / "densevlm_mm/tiny_scenes/assets/tiny_scenes_student.safetensors"


def run(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> None:
    monkeypatch.setattr(sys, "argv", ["export_onnx.py", *map(str, arguments)])
    runpy.run_path(str(ROOT / "tools" / "export_onnx.py"), run_name="__main__")


def test_the_tool_embeds_the_names_and_checks_what_it_wrote(monkeypatch, capsys, tmp_path) -> None:
    out = tmp_path / "street.onnx"
    run(monkeypatch, WEIGHTS, out, "--names", "sky", "sand", "--templates", "tiny_scenes")
    said = capsys.readouterr().out
    assert "2 classes" in said
    assert "onnxruntime agrees with the encoder within" in said
    assert onnxruntime.InferenceSession(out).get_outputs()[0].shape[:2] == ["batch", 2]


def test_another_ending_is_one_line(monkeypatch, tmp_path) -> None:
    with pytest.raises(SystemExit) as end:
        run(monkeypatch, WEIGHTS, tmp_path / "street.trt")
    assert str(end.value.code).startswith("tools/export_onnx.py: a graph is written to a file that ends in")
