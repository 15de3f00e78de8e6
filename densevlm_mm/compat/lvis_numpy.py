"""Lets the LVIS evaluation run on numpy 1.24 and newer.

What breaks: ``lvis/eval.py`` uses ``np.float``, which numpy 1.24 removed: `LVISEval.accumulate`, and with it mmdet's
`LVISMetric`, ends in an `AttributeError`.
Upstream: https://github.com/lvis-dataset/lvis-api/issues/37 (mended on its main branch, in no release).
Needed by: lvis 0.5.3 (the newest release).

numpy itself stays as it is: only the name ``np`` inside ``lvis.eval`` is replaced, when that module is imported.
"""

import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from types import ModuleType
from typing import Any

import numpy as np

_MODULE = "lvis.eval"


class _NumpyWithFloat(ModuleType):
    """numpy with the alias ``np.float``."""

    float = float

    def __getattr__(self, name: str) -> Any:
        return getattr(np, name)


class _PatchingLoader(SourceFileLoader):
    def exec_module(self, module: ModuleType) -> None:
        super().exec_module(module)
        _patch(module)


class _LvisFinder(MetaPathFinder):
    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != _MODULE:
            return None
        spec = PathFinder.find_spec(fullname, path)
        if spec is None or spec.origin is None or not isinstance(spec.loader, SourceFileLoader):
            return None
        spec.loader = _PatchingLoader(fullname, spec.origin)
        return spec


def _patch(module: ModuleType) -> None:
    if getattr(module, "np", None) is np and not hasattr(np, "float"):
        vars(module)["np"] = _NumpyWithFloat("numpy")


def patch_lvis_when_imported() -> None:
    """Mend ``lvis.eval`` as soon as somebody imports it, or now if somebody has."""
    if _MODULE in sys.modules:
        _patch(sys.modules[_MODULE])
    elif not any(isinstance(finder, _LvisFinder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _LvisFinder())


def patch_lvis() -> None:
    """Import lvis and mend it.

    Raises:
        ModuleNotFoundError: If lvis is not installed (``pip install lvis==0.5.3``).
    """
    patch_lvis_when_imported()
    import lvis.eval  # noqa: F401
