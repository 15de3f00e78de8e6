"""Refuse a checkpoint that does not fit the model."""

from mmengine.hooks import Hook
from mmengine.runner import Runner

from densevlm_mm.engine.unwrap import unwrap_model
from densevlm_mm.models.clip.state_dict_mismatch import StateDictMismatch
from densevlm_mm.registry import HOOKS


@HOOKS.register_module()
class StrictCheckpointHook(Hook):
    """Raise before mmengine loads a runner checkpoint with missing, unexpected or differently shaped tensors.

    mmengine loads with ``strict=False`` and only logs what did not fit, so that a wrong file trains or evaluates
    random weights.

    Args:
        allow_missing: Name prefixes that a checkpoint may lack.
        allow_unexpected: Name prefixes that a checkpoint may have in excess.
    """

    # Before hooks that use what they find in the checkpoint.
    priority = "VERY_HIGH"

    def __init__(self, allow_missing: tuple[str, ...] = (), allow_unexpected: tuple[str, ...] = ()) -> None:
        self.allow_missing = tuple(allow_missing)
        self.allow_unexpected = tuple(allow_unexpected)

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Compare the checkpoint's tensors with the model's.

        Raises:
            ValueError: If they do not fit; names the first few and the likely cause.
        """
        model = unwrap_model(runner.model)
        found = checkpoint.get("state_dict", checkpoint)
        mismatch = StateDictMismatch.between(model.state_dict(), found)
        mismatch = mismatch.without(missing=self.allow_missing, unexpected=self.allow_unexpected)
        if mismatch:
            raise ValueError(
                f"the checkpoint does not fit {type(model).__name__}: {mismatch}. It was probably saved "
                "with another "
                "config (another model_name, or other parts): use the config that lies beside it in its work directory."
            )
