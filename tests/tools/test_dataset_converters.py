"""The converters as a user calls them."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import scipy.io
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]


def run(tool: str, *arguments: object) -> subprocess.CompletedProcess:
    command = [sys.executable, str(ROOT / "tools" / "dataset_converters" / tool), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT)


def test_pascal_context_459_converts_verifies_and_finds_damage(tmp_path: Path) -> None:
    for folder in ("trainval", "VOC2010/JPEGImages", "VOC2010/ImageSets/Main"):
        (tmp_path / folder).mkdir(parents=True)
    scipy.io.savemat(tmp_path / "trainval" / "a.mat", {"LabelMap": np.array([[1, 459]], dtype=np.uint16)})
    Image.new("RGB", (2, 1)).save(tmp_path / "VOC2010" / "JPEGImages" / "a.jpg")
    (tmp_path / "VOC2010/ImageSets/Main/val.txt").write_text("a\n")

    converted = run("pascal_context_459.py", tmp_path, "--nproc", 2)
    assert converted.returncode == 0, converted.stderr
    assert "converted PC-459 validation: 1 images, 2 of 459 classes occur" in converted.stdout

    Image.fromarray(np.array([[0, 457]], dtype=np.uint16)).save(tmp_path / "annotations_459" / "a.png")
    verified = run("pascal_context_459.py", tmp_path, "--verify")
    assert verified.returncode == 1
    assert "differs from its source" in verified.stderr
    assert "Traceback" not in verified.stderr


def test_misplaced_input_is_one_line(tmp_path: Path) -> None:
    for tool, arguments in (("ade20k_847.py", (tmp_path, tmp_path / "out")), ("coco_stuff164k.py", (tmp_path,))):
        result = run(tool, *arguments)
        assert result.returncode == 1
        assert len(result.stderr.strip().splitlines()) == 1
        assert result.stderr.startswith(f"tools/dataset_converters/{tool}: {tmp_path}")
