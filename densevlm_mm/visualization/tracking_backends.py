"""Weights & Biases as a visualization backend that sends figures and settings, and nothing else."""

from typing import Any

from mmengine.config import Config
from mmengine.visualization import WandbVisBackend
from mmengine.visualization.vis_backend import force_init_env

from densevlm_mm.registry import VISBACKENDS


@VISBACKENDS.register_module()
class FiguresWandbVisBackend(WandbVisBackend):
    """mmengine's backend without its upload of source code.

    mmengine calls ``run.log_code()`` with every config, which copies all Python files below the current folder, those
    of a virtual environment in it included (https://docs.wandb.ai/ref/python/sdk/classes/run, ``log_code``; mmengine
    0.10.7 has no option for it).

    Raises:
        ValueError: At the first use, if W&B cannot begin a run, for instance since nobody is logged in.
    """

    def _init_env(self) -> None:
        import wandb

        try:
            super()._init_env()
        except wandb.errors.Error as error:
            raise ValueError(
                f"Weights & Biases does not begin a run: {error}. WANDB_MODE=offline logs without an account."
            ) from error

    @force_init_env
    def add_config(self, config: Config, **kwargs: Any) -> None:
        """Record the settings of the run.

        Args:
            config: The experiment.
            kwargs: Ignored; part of mmengine's interface.
        """
        self._wandb.config.update(config.to_dict(), allow_val_change=True)
