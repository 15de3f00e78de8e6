"""Ensemble of the trained and the initial weights, as in the published script; the paper does not mention it."""

from typing import Any

from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.runner import Runner
from torch import Tensor, nn

from densevlm_mm.engine.unwrap import unwrap_model
from densevlm_mm.models.clip.ensemble_alpha import AlphaConfig, EnsembleAlpha
from densevlm_mm.registry import HOOKS


@HOOKS.register_module()
class WeightEnsembleHook(Hook):
    """Evaluate ``alpha * trained + (1 - alpha) * initial`` weights; train, save and resume the raw ones.

    The published training script evaluates so, with 0.9; the paper does not mention it. An alpha by depth is ours.

    Checkpoints keep the raw weights in ``state_dict`` and alpha with the initial weights in ``weight_ensemble``; so a
    checkpoint alone is enough to resume exactly, to evaluate and to export. Whatever reads one uses the alpha in it:
    another one in the config counts for trainings that start anew. What is evaluated is logged.

    Args:
        alpha: Weight of the trained parameters, in [0, 1]; the published script has 0.9, 1 switches the ensemble off.
            ``dict(first=..., last=...)`` lets it grow or fall from the first block to the last, see
            :class:`EnsembleAlpha`.
        test_alpha: Evaluate with this one instead, whatever a checkpoint says; ``0.5:0.9`` on a command line is first
            and last. It is stored in no checkpoint.

    Attributes:
        initial: Names to the weights that training started from; None if they are unknown.

    Raises:
        ValueError: If alpha is outside [0, 1].
    """

    def __init__(self, alpha: AlphaConfig = 0.9, test_alpha: AlphaConfig | None = None) -> None:
        self.alpha = EnsembleAlpha.parse(alpha)
        self.test_alpha = None if test_alpha is None else EnsembleAlpha.parse(test_alpha, "test_alpha")
        self.initial: dict[str, Tensor] | None = None
        self._stored_alpha: EnsembleAlpha | None = None
        self._raw: dict[str, Tensor] = {}
        self._logged = ""

    @property
    def trained_alpha(self) -> EnsembleAlpha:
        """The alpha of the weights at hand: that of the checkpoint that they come from, else the config's."""
        return self.alpha if self._stored_alpha is None else self._stored_alpha

    @property
    def applied_alpha(self) -> EnsembleAlpha | None:
        """The alpha that evaluation uses; None if the initial weights are unknown, so that there is no ensemble."""
        if self.initial is None:
            return None
        return self.trained_alpha if self.test_alpha is None else self.test_alpha

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Take alpha and the initial weights from the checkpoint.

        Raises:
            ValueError: If its ensemble is incomplete, or its alpha is none.
        """
        ensemble = checkpoint.get("weight_ensemble")
        if ensemble is None:
            self.initial = self._stored_alpha = None
            return
        if ensemble.get("initial_state_dict") is None or ensemble.get("alpha") is None:
            raise ValueError("the checkpoint's 'weight_ensemble' lacks 'alpha' or 'initial_state_dict'")
        self.initial = ensemble["initial_state_dict"]
        self._stored_alpha = EnsembleAlpha.parse(ensemble["alpha"], "the checkpoint's alpha")

    def before_train(self, runner: Runner) -> None:
        """Remember where training starts, unless a resumed checkpoint has said so."""
        if self.initial is None or not runner._resume:
            self.initial = {name: value.cpu() for name, value in _weights(runner.model).items()}
            self._stored_alpha = None

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Store alpha and the initial weights beside the raw ones, also from within a validation that was stopped."""
        if self._raw:
            checkpoint["state_dict"].update({name: value.cpu() for name, value in self._raw.items()})
        checkpoint["weight_ensemble"] = dict(alpha=self.trained_alpha.config, initial_state_dict=self.initial)

    def before_val_epoch(self, runner: Runner) -> None:
        """Put the ensemble into the model."""
        self._apply(runner, "this run")

    def after_val_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        """Put the raw weights back, bit for bit."""
        self._restore(runner)

    def before_test_epoch(self, runner: Runner) -> None:
        """Put the ensemble into the model."""
        self._apply(runner, str(runner._load_from or "this run"))

    def after_test_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        """Put the raw weights back, bit for bit."""
        self._restore(runner)

    def _apply(self, runner: Runner, source: str) -> None:
        alpha, initial = self.applied_alpha, self.initial
        self._log(alpha, source)
        if alpha is None or initial is None:
            return
        self._raw = _weights(runner.model)
        ensemble = alpha.blend(self._raw, {name: initial[name] for name in self._raw})
        unwrap_model(runner.model).load_state_dict(ensemble, strict=False)

    def _log(self, alpha: EnsembleAlpha | None, source: str) -> None:
        """Say once what is evaluated: validation comes every epoch."""
        if alpha is None:
            message = (
                f"weight ensemble: none, {source} does not hold the initial weights: evaluating weights as they are"
            )
        else:
            message = f"weight ensemble: evaluating {alpha.formula} of {source}"
            if alpha != self.trained_alpha:
                message += f" (asked for by test_alpha; its own alpha is {self.trained_alpha})"
            elif alpha != self.alpha:
                message += f" (its own alpha; the config's, {self.alpha}, is for trainings that start anew)"
        if message != self._logged:
            print_log(message, "current")
        self._logged = message

    def _restore(self, runner: Runner) -> None:
        unwrap_model(runner.model).load_state_dict(self._raw, strict=False)
        self._raw = {}


def _weights(model: nn.Module) -> dict[str, Tensor]:
    """Copy all floating-point entries of the state dict (whose names are those of the published checkpoints)."""
    state_dict = unwrap_model(model).state_dict()
    return {name: value.detach().clone() for name, value in state_dict.items() if value.is_floating_point()}
