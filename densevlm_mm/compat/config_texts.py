"""Formats the text of a config once, and not for every log, dump, visualizer and checkpoint anew.

What breaks: ``Config.pretty_text`` runs yapf whenever it is read, four times before the first step and once for each
checkpoint: 0.1 to 0.4 s each on the configs of this package, with 9,000 objects (1.4 MB) in reference cycles left
behind, so that the memory of a run that saves every 100 steps rises until the garbage collector comes by.
Upstream: https://github.com/open-mmlab/mmengine/pull/1647 (open).
Needed by: mmengine 0.10.7 (newest release).
"""

from collections.abc import Callable
from functools import lru_cache
from types import ModuleType
from typing import Any

from densevlm_mm.compat.import_hooks import when_imported


def remember_config_texts() -> None:
    """Let mmengine remember the last few texts that it has formatted."""
    when_imported("mmengine.config.config", _remember)


def _remember(module: ModuleType) -> None:
    if not hasattr(module.FormatCode, "cache_info"):
        module.FormatCode = _remembering(module.FormatCode)  # type: ignore[attr-defined]


def _remembering(original: Callable) -> Callable:
    @lru_cache(maxsize=8)
    def formatted(text: str, style: tuple[tuple[str, Any], ...], options: tuple[tuple[str, Any], ...]) -> tuple:
        return original(text, style_config=dict(style), **dict(options))

    def format_code(text: str, style_config: dict[str, Any], **options: Any) -> tuple:
        """As yapf's."""
        return formatted(text, tuple(style_config.items()), tuple(options.items()))

    format_code.cache_info = formatted.cache_info  # type: ignore[attr-defined]
    return format_code
