"""The example of docs/extending.md, as it stands there, trains on a small world."""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from densevlm_mm.apis import build_runner, check_inputs, load_experiment
from densevlm_mm.registry import HOOKS, MODELS

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def example(tmp_path: Path, monkeypatch) -> Iterator[Path]:
    """A folder with the files of the page, from which the tools are run."""
    page = (ROOT / "docs/extending.md").read_text()
    for code in re.findall(r"```python\n(.+?)```", page, flags=re.DOTALL):
        (tmp_path / re.match(r"# (\w+\.py)\n", code)[1]).write_text(code)
    for name in ("configs", "densevlm_mm"):
        (tmp_path / name).symlink_to(ROOT / name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    sys.modules.pop("my_method", None)
    HOOKS.module_dict.pop("VisionRegionHook", None)
    for name in ("TimmTeacher", "VisionRegionLoss"):
        MODELS.module_dict.pop(name, None)


def test_the_example_trains_with_both_losses(example: Path, three_iterations: dict[str, object]) -> None:
    settings = {**three_iterations, "default_hooks.vision.teacher.pretrained": False}
    cfg = load_experiment("my_config.py", settings, "run")
    cfg.visualizer.vis_backends = [dict(type="LocalVisBackend")]
    cfg.update(val_cfg=None, val_dataloader=None, val_evaluator=None)
    cfg.experiment_name = example.name
    check_inputs(cfg, "train")
    runner = build_runner(cfg)
    runner.train()
    history = runner.message_hub.log_scalars
    figures = {name: history[f"train/{name}"].current() for name in ("loss", "loss_align", "loss_vision")}
    assert figures["loss"] == pytest.approx(figures["loss_align"] + figures["loss_vision"])
    vision = history["train/vision_value"].current()
    assert figures["loss_vision"] == pytest.approx(0.1 * vision, rel=1e-5)
    assert history["train/vision_cosine"].current() == pytest.approx(1 - vision, rel=1e-4)
    assert 0 < history["train/align_kept"].current() <= 1
    trained = torch.load("run/iter_3.pth", weights_only=True)["state_dict"]
    assert trained["loss_module.parts.vision.projection.weight"].shape == (512, 128)
    assert not any(name.startswith("teacher") for name in trained)
