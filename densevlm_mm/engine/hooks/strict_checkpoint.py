"""Refuse a checkpoint that does not fit the model, or that a run cannot go on from."""

from typing import Any

from mmengine.hooks import Hook
from mmengine.runner import Runner

from densevlm_mm.checkpoint_files import find_state_dict
from densevlm_mm.engine.unwrap import unwrap_model
from densevlm_mm.models.clip.state_dict_mismatch import StateDictMismatch
from densevlm_mm.registry import HOOKS


@HOOKS.register_module()
class StrictCheckpointHook(Hook):
    """Raise before mmengine loads a runner checkpoint that is not the right one.

    mmengine loads with ``strict=False`` and only logs what did not fit, so that a wrong file trains or evaluates
    random weights; and it resumes with a new optimizer, or from the first learning rate, when a file lacks their state.

    Args:
        allow_missing: Name prefixes that a checkpoint may lack.
        allow_unexpected: Name prefixes that a checkpoint may have in excess.
    """

    # Before hooks that use what they find in the checkpoint.
    priority = "VERY_HIGH"

    def __init__(self, allow_missing: tuple[str, ...] = (), allow_unexpected: tuple[str, ...] = ()) -> None:
        self.allow_missing = tuple(allow_missing)
        self.allow_unexpected = tuple(allow_unexpected)

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Compare the checkpoint's tensors with the model's, and look whether a run can go on from it.

        Raises:
            ValueError: If tensors have missing, unexpected or differently shaped names (the message names the first
                few and the likely cause), or a run is resumed from a file without its progress, optimizer or schedule.
        """
        model = unwrap_model(runner.model)
        found = find_state_dict(checkpoint, "the checkpoint")
        mismatch = StateDictMismatch.between(model.state_dict(), found)
        mismatch = mismatch.without(missing=self.allow_missing, unexpected=self.allow_unexpected)
        if mismatch:
            raise ValueError(
                f"the checkpoint does not fit {type(model).__name__}: {mismatch}. It was probably saved with another "
                "config (another model_name, or other parts): use the config that lies beside it in its work directory."
            )
        if runner._resume:
            _check_resumable(runner, checkpoint)


def _check_resumable(runner: Runner, checkpoint: dict[str, Any]) -> None:
    meta = checkpoint.get("meta")
    missing = [f"meta.{key}" for key in ("epoch", "iter") if not isinstance(meta, dict) or key not in meta]
    needed = ["message_hub", "optimizer"] + (["param_schedulers"] if runner.param_schedulers is not None else [])
    missing += [key for key in needed if key not in checkpoint]
    if missing:
        raise ValueError(
            f"the run cannot be resumed from {runner._load_from or 'its latest checkpoint'}, which lacks "
            f"{', '.join(missing)}: it would go on with a new optimizer or another learning rate. It was saved without "
            "them (save_optimizer=False, save_param_scheduler=False) or is no checkpoint of a training. To start a new "
            "training from its weights, give load_from=... without --resume"
        )
