"""Whether the figure by which the best checkpoint is kept will be there, asked before the first step."""

import difflib
from typing import Any

from mmengine.config import Config
from mmengine.hooks import CheckpointHook
from mmengine.registry import METRICS

from densevlm_mm.apis.components import component_class
from densevlm_mm.evaluation.figure_names import figure_names

_KEY = "default_hooks.checkpoint"


def check_save_best(cfg: Config) -> None:
    """Check that ``save_best`` names figures of the validation, and that it is known which way they are better.

    Figures of metrics that :func:`figure_names` does not know are taken on trust.

    Args:
        cfg: The experiment.

    Raises:
        ValueError: If there is no validation, no metric of it gives the figure, or the figure's name does not say
            whether larger is better and ``rule`` neither.
    """
    hook: dict[str, Any] = cfg.get("default_hooks", {}).get("checkpoint") or {}
    save_best = hook.get("save_best")
    if not save_best:
        return
    evaluators = cfg.get("val_evaluator")
    if not evaluators:
        raise ValueError(
            f"{_KEY}.save_best={save_best!r} needs a validation, which this run has not: add "
            f"--cfg-options {_KEY}.save_best=None, or give val_dataloader, val_cfg and val_evaluator."
        )
    known = _figures(cfg, [evaluators] if isinstance(evaluators, dict) else evaluators)
    for key in [save_best] if isinstance(save_best, str) else save_best:
        if known is not None and key not in (*known, "auto"):
            close = difflib.get_close_matches(key, known, n=1, cutoff=0.4)
            hint = f"did you mean {close[0]!r}? There are" if close else "there are"
            raise ValueError(f"{_KEY}.save_best={key!r} is no figure of val_evaluator; {hint} {', '.join(known)}.")
        if key != "auto" and hook.get("rule") is None and not _says_which_way(key, hook):
            raise ValueError(
                f"{_KEY}.save_best={key!r} does not say whether larger is better: set {_KEY}.rule=greater, or less."
            )


def _figures(cfg: Config, evaluators: list[Any]) -> list[str] | None:
    names: list[str] = []
    for node in evaluators:
        kind = component_class(cfg, METRICS, node)
        found = None if kind is None else figure_names(kind, node)
        if found is None:
            return None
        names += found
    return names


def _says_which_way(key: str, hook: dict) -> bool:
    """As mmengine's ``CheckpointHook`` looks for it."""
    larger = hook.get("greater_keys") or CheckpointHook._default_greater_keys
    smaller = hook.get("less_keys") or CheckpointHook._default_less_keys
    listed = [word for words in (larger, smaller) for word in ([words] if isinstance(words, str) else words)]
    return any(word.lower() in key.lower() for word in listed)
