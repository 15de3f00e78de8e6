"""Ensemble of the trained and the initial weights, as in the published script; the paper does not mention it."""

import torch
from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.runner import Runner
from torch import Tensor, nn

from densevlm_mm.engine.unwrap import unwrap_model
from densevlm_mm.registry import HOOKS


@HOOKS.register_module()
class WeightEnsembleHook(Hook):
    """Evaluate ``alpha * trained + (1 - alpha) * initial`` weights; train, save and resume the raw ones.

    Checkpoints keep the raw weights in ``state_dict`` and alpha with the initial weights in ``weight_ensemble``; so a
    checkpoint alone is enough to resume exactly, to evaluate and to export.

    Args:
        alpha: Weight of the trained parameters, in [0, 1]; the published script has 0.9, 1 switches the
            ensemble off.

    Raises:
        ValueError: If alpha is outside [0, 1].
    """

    def __init__(self, alpha: float = 0.9) -> None:
        if not 0 <= alpha <= 1:
            raise ValueError(f"alpha must be in [0, 1], got {alpha}; the published script has 0.9.")
        self.alpha = alpha
        self.initial: dict[str, Tensor] | None = None
        self._raw: dict[str, Tensor] = {}

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Take the initial weights from the checkpoint."""
        self.initial = checkpoint.get("weight_ensemble", {}).get("initial_state_dict")

    def before_train(self, runner: Runner) -> None:
        """Remember where training starts, unless a resumed checkpoint has said so."""
        if self.initial is None or not runner._resume:
            self.initial = {name: value.cpu() for name, value in _weights(runner.model).items()}

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Store alpha and the initial weights beside the raw ones."""
        checkpoint["weight_ensemble"] = dict(alpha=self.alpha, initial_state_dict=self.initial)

    def before_val_epoch(self, runner: Runner) -> None:
        """Put the ensemble into the model."""
        self._apply(runner)

    def after_val_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        """Put the raw weights back, bit for bit."""
        self._restore(runner)

    def before_test_epoch(self, runner: Runner) -> None:
        """Put the ensemble into the model."""
        self._apply(runner)

    def after_test_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        """Put the raw weights back, bit for bit."""
        self._restore(runner)

    def _apply(self, runner: Runner) -> None:
        if self.initial is None:
            print_log(
                f"No initial weights are known: weights are evaluated as they are, not with alpha={self.alpha}.",
                "current",
            )
            return
        self._raw = _weights(runner.model)
        # lerp is exact where nothing changed and for alpha 0 and 1.
        ensemble = {name: torch.lerp(self.initial[name].to(raw), raw, self.alpha) for name, raw in self._raw.items()}
        unwrap_model(runner.model).load_state_dict(ensemble, strict=False)

    def _restore(self, runner: Runner) -> None:
        unwrap_model(runner.model).load_state_dict(self._raw, strict=False)
        self._raw = {}


def _weights(model: nn.Module) -> dict[str, Tensor]:
    """Copy all floating-point entries of the state dict (whose names are those of the published checkpoints)."""
    state_dict = unwrap_model(model).state_dict()
    return {name: value.detach().clone() for name, value in state_dict.items() if value.is_floating_point()}
