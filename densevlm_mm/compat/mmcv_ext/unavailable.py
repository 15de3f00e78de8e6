"""Placeholders for the compiled operators that torchvision and torch have no equivalent of."""

from collections.abc import Callable
from typing import Any, NoReturn


def unavailable_operator(name: str) -> Callable[..., Any]:
    """Return a function that says, when called, which operator is missing and how to get it.

    Args:
        name: Name of the operator in ``mmcv._ext``.
    """

    def missing(*args: object, **kwargs: object) -> NoReturn:
        raise NotImplementedError(
            f"The mmcv operator {name!r} needs compiled mmcv: densevlm_mm's torchvision stand-in does not have it. "
            "Uninstall mmcv-lite and build mmcv==2.1.0 for the installed torch (the recipe is in docs/install.md); "
            "densevlm_mm then uses the compiled operators by itself."
        )

    missing.__name__ = name
    return missing
