"""Short DenseVLM trainings on TinyScenes in this process, for :mod:`gpu_check`."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.runner import Runner

from densevlm_mm.apis import build_runner, claim_work_dir, load_experiment
from densevlm_mm.tiny_scenes import generate_tiny_scenes

_count = 0


class TinyTraining:
    """Trainings of a few steps that start equal.

    Args:
        folder: Where the images and the runs go.
        steps: Iterations of a whole run.
        batch_size: Images of an iteration.
    """

    def __init__(self, folder: Path, steps: int, batch_size: int) -> None:
        self.folder, self.steps, self.batch_size = folder, steps, batch_size
        self.data = folder / "tiny_scenes"

    def losses(
        self,
        name: str,
        dtype: str | None = None,
        change: Callable[[Config], Any] | None = None,
        config: str = "configs/tiny/densevlm.py",
        resume: str | None = None,
    ) -> list[float]:
        """Train; return the loss of every step.

        Args:
            name: Of the run's folder.
            dtype: Autocast type; None for float32.
            change: Changes the config.
            config: From the repository's root.
            resume: As ``--resume`` of ``tools/train.py``.
        """
        runner = self.run(name, dtype, change, config, resume)
        return runner.message_hub.get_scalar("train/loss")._log_history.tolist()

    def run(
        self, name: str, dtype: str | None, change: Callable[[Config], Any] | None, config: str, resume: str | None
    ) -> Runner:
        """Train; return the runner."""
        global _count
        _count += 1
        if not self.data.exists():
            generate_tiny_scenes(self.data, num_train=self.steps * self.batch_size, num_val=2, seed=0)
        cfg = load_experiment(config, work_dir=str(self.folder / name))
        cfg.train_dataloader.dataset.dataset.data_root = str(self.data)
        cfg.train_dataloader.update(batch_size=self.batch_size, num_workers=0, persistent_workers=False)
        for part in ("val", "test"):
            cfg.update({f"{part}_{key}": None for key in ("cfg", "dataloader", "evaluator")})
        cfg.visualizer.vis_backends = []
        cfg.default_hooks.logger.interval = 5
        cfg.default_hooks.checkpoint.interval = self.steps // 2
        cfg.log_level = "WARNING"
        cfg.experiment_name = f"check_{name}_{_count}"
        if dtype is not None:
            cfg.optim_wrapper.update(type="AutocastOptimWrapper", dtype=dtype)
        if change is not None:
            change(cfg)
        claim_work_dir(cfg, resume)
        runner = build_runner(cfg)
        runner.train()
        return runner
