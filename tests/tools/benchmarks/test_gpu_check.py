"""The check of one GPU, small and on the CPU."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).resolve().parents[3]
TOOL = "tools/benchmarks/gpu_check.py"


def test_all_checks_pass_and_are_written_down(tmp_path) -> None:
    environment = dict(os.environ, OMP_NUM_THREADS="1", CUDA_VISIBLE_DEVICES="")
    command = [sys.executable, TOOL, "--cpu", "--out", str(tmp_path / "out")]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    results = json.loads((tmp_path / "out/gpu_check.json").read_text())
    assert done.returncode == 0, [result for result in results if not result["passed"]] or done.stderr[-2000:]
    names = [result["name"] for result in results]
    assert names[:7] == ["versions", "float32", "float16", "bfloat16", "teacher_cache", "compiled", "resume"]
    assert names[7:] == ["operators", "fvit", "san", "cat_seg", "one_process", "step_8", "step_compiled"]
    rows = (tmp_path / "out/gpu_check.md").read_text().splitlines()[2:]
    assert [row.split("|")[1:3] for row in rows] == [[f" {name} ", " pass "] for name in names]


def test_a_check_that_fails_does_not_stop_the_rest(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "tools/benchmarks"))
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    import device_checks
    import gpu_check

    def broken(settings):
        raise RuntimeError("CUDA error: an illegal memory access")

    checks = dict(float32=lambda _: "", broken=broken, versions=device_checks.versions)
    checks["float32"] = lambda settings: device_checks._compare([1.0, 2.0], [1.0, 2.1], 0.01, "the CPU in float32")
    monkeypatch.setattr(device_checks, "CHECKS", checks)
    monkeypatch.setattr(device_checks, "reference", lambda settings: "[1.0]")
    monkeypatch.setattr(sys, "argv", [TOOL, "--cpu", "--out", str(tmp_path)])
    with pytest.raises(SystemExit) as stop:
        gpu_check.main()
    assert stop.value.code == 1
    results = {result["name"]: result for result in json.loads((tmp_path / "gpu_check.json").read_text())}
    assert [result["passed"] for result in results.values()] == [False, False, True]
    assert results["float32"]["figure"] == "2 losses within 4.76e-02 of the CPU in float32 (at most 0.01)"
    assert "illegal memory access" in results["broken"]["figure"]
    assert "FAIL  broken" in capsys.readouterr().out


def test_a_process_that_dies_is_a_check_that_fails(tmp_path, monkeypatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "tools/benchmarks"))
    import gpu_check

    monkeypatch.setattr(sys, "executable", "/bin/false")
    result = gpu_check.run_apart("float32", tmp_path, seconds=60)
    assert not result["passed"]
    assert "ended with status 1" in result["figure"]


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
@pytest.mark.parametrize(
    ("arguments", "said"),
    [((), "torch sees no GPU; --cpu runs a small version"), (("--cpu", "--only", "float8"), "no check 'float8'")],
)
def test_no_gpu_and_unknown_checks_are_said(tmp_path, monkeypatch, arguments, said) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "tools/benchmarks"))
    monkeypatch.chdir(ROOT)
    import gpu_check

    monkeypatch.setattr(sys, "argv", [TOOL, "--out", str(tmp_path), *arguments])
    with pytest.raises(SystemExit, match=said):
        gpu_check.main()
