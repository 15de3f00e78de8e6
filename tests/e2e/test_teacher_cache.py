"""Runs with the teacher cache equal those without, to the bit."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from mmengine.config import Config

from densevlm_mm.apis import build_runner, enable_resume, load_experiment

ROOT = Path(__file__).resolve().parents[2]


class Run:
    """What a training left behind."""

    def __init__(self, work_dir: Path) -> None:
        checkpoint = torch.load(work_dir / "iter_6.pth", weights_only=True)
        self.weights = checkpoint["state_dict"]
        (scalars,) = work_dir.glob("*/vis_data/scalars.json")
        records = [json.loads(line) for line in scalars.read_text().splitlines()]
        self.figures = [[record[name] for name in ("loss", "kept", "kept_stuff", "confidence")] for record in records]
        (log,) = work_dir.glob("*/*.log")
        self.log = log.read_text()

    def equals(self, other: "Run") -> bool:
        same = all(torch.equal(value, other.weights[name]) for name, value in self.weights.items())
        return same and self.figures == other.figures[-len(self.figures) :]


@pytest.fixture
def train(three_iterations: dict[str, object], tmp_path: Path, monkeypatch) -> Callable[..., Run]:
    """Train a tiny config for two epochs of three iterations, with a cache in a folder of its own."""
    monkeypatch.chdir(ROOT)

    def run(name: str, work_dir: str, change: Callable[[Config], None] | None = None, resume=None, **options) -> Run:
        settings = {
            **three_iterations,
            "train_cfg.max_epochs": 2,
            "default_hooks.logger.interval": 1,
            "default_hooks.checkpoint.interval": 1,
            "default_hooks.checkpoint.max_keep_ckpts": -1,
            **options,
        }
        cfg = load_experiment(f"configs/tiny/{name}.py", settings, str(tmp_path / work_dir))
        cfg.visualizer.vis_backends = [dict(type="LocalVisBackend")]
        cfg.update(val_cfg=None, val_dataloader=None, val_evaluator=None)
        if "cache" in cfg.default_hooks.teacher:
            cfg.default_hooks.teacher.cache.path = str(tmp_path / "cache")
        if change is not None:
            change(cfg)
        enable_resume(cfg, resume)
        cfg.experiment_name = f"{tmp_path.name}_{work_dir}"
        build_runner(cfg).train()
        return Run(tmp_path / work_dir)

    return run


def test_empty_filled_and_no_cache_and_a_resumed_run_are_equal(train, tmp_path) -> None:
    without = train("densevlm", "without")
    empty = train("densevlm_cached", "empty")
    assert empty.equals(without)
    assert "teacher: 12 images, cache: 0 images" in empty.log
    assert "teacher: 0 images, cache: 12 images" in empty.log  # the second epoch
    filled = train("densevlm_cached", "filled")
    assert filled.equals(without)
    assert filled.log.count("teacher: 0 images, cache: 12 images") == 2
    assert "the teacher is built" in empty.log
    assert "the teacher is built" not in filled.log
    resumed = train("densevlm_cached", "resumed", resume=str(tmp_path / "empty/iter_2.pth"))
    assert resumed.equals(without)
    assert len(resumed.figures) == 4
