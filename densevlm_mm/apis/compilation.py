"""``--compile``, and mmengine's key of that name."""

from typing import Any

from mmengine.config import Config


def compile_encoders(cfg: Config) -> None:
    """Let a config's ``compile`` key mean :class:`CompileHook` where the model has a :class:`DenseImageEncoder`.

    mmengine would compile ``train_step`` whole. Models of other packages keep that.

    Args:
        cfg: The experiment; ``compile`` is a bool or the options of ``torch.compile``.

    Raises:
        ValueError: If ``compile`` is something else.
    """
    options = cfg.get("compile", False)
    if not isinstance(options, bool | dict):
        raise ValueError(f"compile is True, False or a dict of options of torch.compile, got {options!r}")
    if options is False or not _has_encoder(cfg.get("model")):
        return
    cfg.compile = False
    hook = dict(type="densevlm_mm.CompileHook", options={} if options is True else dict(options))
    cfg.custom_hooks = [*(cfg.get("custom_hooks") or []), hook]


def _has_encoder(node: Any) -> bool:
    if isinstance(node, dict):
        kind = node.get("type")
        name = kind if isinstance(kind, str) else getattr(kind, "__name__", "")
        return name.split(".")[-1] == "DenseImageEncoder" or any(map(_has_encoder, node.values()))
    return isinstance(node, list | tuple) and any(map(_has_encoder, node))
