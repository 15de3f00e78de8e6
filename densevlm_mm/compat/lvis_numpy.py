"""Lets the LVIS evaluation run on numpy 1.24 and newer.

What breaks: ``lvis/eval.py`` uses ``np.float``, which numpy 1.24 removed: `LVISEval.accumulate`, and with it mmdet's
`LVISMetric`, ends in an `AttributeError`.
Upstream: https://github.com/lvis-dataset/lvis-api/issues/37 (mended on its main branch, in no release).
Needed by: lvis 0.5.3 (the newest release).

numpy itself stays as it is: only the name ``np`` inside ``lvis.eval`` is replaced, when that module is imported.
"""

from types import ModuleType
from typing import Any

import numpy as np

from densevlm_mm.compat.import_hooks import when_imported


class _NumpyWithFloat(ModuleType):
    """numpy with the alias ``np.float``."""

    float = float

    def __getattr__(self, name: str) -> Any:
        return getattr(np, name)


def _patch(module: ModuleType) -> None:
    if getattr(module, "np", None) is np and not hasattr(np, "float"):
        vars(module)["np"] = _NumpyWithFloat("numpy")


def patch_lvis_when_imported() -> None:
    """Mend ``lvis.eval`` as soon as somebody imports it, or now if somebody has."""
    when_imported("lvis.eval", _patch)


def patch_lvis() -> None:
    """Import lvis and mend it.

    Raises:
        ModuleNotFoundError: If lvis is not installed (``pip install lvis==0.5.3``).
    """
    patch_lvis_when_imported()
    import lvis.eval  # noqa: F401
