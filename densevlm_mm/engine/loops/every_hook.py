"""Completing an iteration although a hook fails."""

from typing import Any

from mmengine.runner import Runner


def call_every_hook(runner: Runner, stage: str, **arguments: Any) -> None:
    """Call a stage of all hooks, also of those behind one that fails, and raise the first error at the end.

    After an optimizer step the iteration has to be completed: schedules and averages must not lack it because, say, a
    log could not be written.
    """
    errors = []
    for hook in runner.hooks:
        try:
            if hasattr(hook, stage):
                getattr(hook, stage)(runner, **arguments)
        except Exception as error:
            errors.append(error)
    if errors:
        raise errors[0]
