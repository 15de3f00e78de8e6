"""Text of classes before the first step."""

from typing import Any

from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import nn

from densevlm_mm.registry import HOOKS


@HOOKS.register_module()
class PrepareClassesHook(Hook):
    """Let a model get the text of its classes before a run starts, and only what this run reads.

    Models get it when it is first used. With this hook what is wrong with it (a missing file, embeddings of another
    model) stops a run before its first step; if a training validates, what is wrong with the test vocabulary too. It
    calls ``prepare_classes(training)`` of every module that has it: with True before a training, with False before
    anything that predicts.
    """

    # After hooks that compare names, which takes no time, and before those that build a teacher.
    priority = "BELOW_NORMAL"

    def before_train(self, runner: Runner) -> None:
        """Prepare the training classes, and the test classes if the training validates."""
        prepare_classes(runner.model, training=True)
        if runner.val_loop is not None:
            prepare_classes(runner.model, training=False)

    def before_val(self, runner: Runner) -> None:
        """Prepare the test classes."""
        prepare_classes(runner.model, training=False)

    def before_test(self, runner: Runner) -> None:
        """Prepare the test classes."""
        prepare_classes(runner.model, training=False)


def prepare_classes(model: nn.Module, training: bool) -> None:
    """Let every part of a model that has classes get their text; of several processes all have to call it."""
    for module in model.modules():
        prepare: Any = getattr(module, "prepare_classes", None)
        if prepare is not None:
            prepare(training)
