"""The contract between hooks and loss, checked before the first step."""

from collections.abc import Sequence
from typing import Any

from mmengine.hooks import Hook
from mmengine.runner import Runner

from densevlm_mm.engine.unwrap import unwrap_model
from densevlm_mm.models.pretrainers import RegionPretrainer
from densevlm_mm.models.pretrainers.targets import declared_targets, writing_hooks
from densevlm_mm.registry import HOOKS
from densevlm_mm.structures import META_KEYS, REGION_KEYS


@HOOKS.register_module()
class TargetCheckHook(Hook):
    """Check that every target that the loss asks for is written, and by one hook.

    Runs before the teachers are built, which can take minutes.
    """

    priority = "VERY_HIGH"

    def before_train(self, runner: Runner) -> None:
        """Compare what the model wants with what the hooks of the run declare.

        Raises:
            ValueError: If a target is written by no hook, by two, or under the name of something else.
        """
        model = unwrap_model(runner.model)
        if isinstance(model, RegionPretrainer):
            check_targets(model, runner.hooks)


def check_targets(model: RegionPretrainer, hooks: Sequence[Any]) -> None:
    """Compare what a model wants with what hooks declare; see :class:`TargetCheckHook`."""
    taken = dict.fromkeys((*model.model_inputs, *model.batch_inputs), type(model).__name__)
    taken |= dict.fromkeys((*META_KEYS, *REGION_KEYS), "the data")
    for hook in hooks:
        for name in declared_targets(hook):
            if name in taken:
                raise ValueError(
                    f"{type(hook).__name__} writes {name!r}, which comes from {taken[name]} already: one would replace "
                    "the other, leave out a hook or rename a target."
                )
            taken[name] = type(hook).__name__
    missing = [name for name in model.wanted_targets if name not in taken]
    if missing:
        able = [type(hook).__name__ for hook in hooks if missing[0] in declared_targets(type(hook))]
        cure = f"{able[0]} would, with other arguments. In general: " if able else ""
        raise ValueError(
            f"{type(model.loss_module).__name__} needs {missing[0]!r}, which no hook of this run writes: "
            f"{cure}{writing_hooks(missing[0])}."
        )
