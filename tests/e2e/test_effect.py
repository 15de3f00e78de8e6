"""What the method does on TinyScenes, at the demo's full length: about ten minutes, so not part of `make test`."""

import json
import re
from pathlib import Path

import pytest

from densevlm_mm.tiny_scenes import generate_tiny_scenes

pytestmark = pytest.mark.slow

STUDENT, TEACHER = (f"densevlm_mm/tiny_scenes/assets/tiny_scenes_{who}.safetensors" for who in ("student", "teacher"))


@pytest.fixture(scope="module")
def data_options(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    world = generate_tiny_scenes(tmp_path_factory.mktemp("world"))
    loaders = ("train_dataloader.dataset.dataset", "val_dataloader.dataset", "test_dataloader.dataset")
    return [f"{loader}.data_root={world}" for loader in loaders]


@pytest.fixture(scope="module")
def figures(run_tool, data_options, tmp_path_factory) -> dict[str, dict[str, float]]:
    """Metrics of the student before, the teacher, and the student after each kind of training."""
    root = tmp_path_factory.mktemp("runs")

    def evaluate(name: str, config: str, checkpoint: str | Path) -> dict[str, float]:
        arguments = [config, checkpoint, "--out", root / f"{name}.json", "--work-dir", root / f"{name}_test"]
        run_tool("test.py", *arguments, "--cfg-options", *data_options)
        return json.loads((root / f"{name}.json").read_text())["metrics"]

    results = dict(
        before=evaluate("before", "configs/tiny/densevlm.py", STUDENT),
        teacher=evaluate("teacher", "configs/tiny/teacher.py", TEACHER),
    )
    for name in ("densevlm", "densevlm_row1", "densevlm_row2", "densevlm_row3", "clipself"):
        config = f"configs/tiny/{name}.py"
        run_tool("train.py", config, "--work-dir", root / name, "--cfg-options", *data_options)
        results[name] = evaluate(name, config, root / name / "iter_300.pth")
    return results


def test_the_student_has_foreground_bias_and_the_teacher_sees_stuff(figures) -> None:
    assert figures["before"]["foreground_bias"] >= 55
    assert figures["before"]["masks_s_top1"] <= 35
    assert figures["teacher"]["boxes_top1"] >= 55
    assert figures["teacher"]["masks_s_top1"] >= 48


def test_decoupled_alignment_removes_the_bias(figures) -> None:
    def gain(name: str, over: str, metric: str) -> float:
        return figures[name][metric] - figures[over][metric]

    assert gain("densevlm", "before", "masks_s_top1") >= 35
    assert gain("densevlm", "before", "foreground_bias") <= -50
    assert gain("densevlm_row1", "before", "masks_s_top1") >= 25
    assert gain("densevlm", "densevlm_row1", "masks_s_top1") > 0
    assert gain("densevlm", "densevlm_row1", "foreground_bias") < 0
    assert gain("densevlm", "densevlm_row1", "boxes_top1") >= -15
    for row in ("densevlm_row2", "densevlm_row3"):
        assert gain("densevlm_row1", row, "masks_s_top1") >= 10
    assert gain("clipself", "before", "masks_s_top1") > 0
    for name in ("densevlm", "densevlm_row1"):
        assert gain(name, "before", "offset_control") >= 4


def test_a_higher_threshold_keeps_fewer_regions(run_tool, data_options, tmp_path) -> None:
    kept = []
    for threshold in (0.0, 0.3, 0.5):
        options = [f"model.loss.threshold={threshold}", "train_dataloader.dataset.dataset.indices=1000"]
        arguments = ["configs/tiny/densevlm.py", "--work-dir", tmp_path / str(threshold)]
        result = run_tool("train.py", *arguments, "--cfg-options", *data_options, *options)
        kept.append(float(re.findall(r" kept: ([\d.]+)", result.stdout + result.stderr)[-1]))
    assert kept[0] == 1
    assert kept[0] > kept[1] > kept[2] > 0
