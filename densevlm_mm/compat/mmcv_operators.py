"""Chooses the operators behind ``mmcv.ops``: the compiled ``mmcv._ext`` where it loads, else our stand-in.

What breaks: PyPI has compiled mmcv as a source archive only; ``mmcv-lite`` has the Python half of ``mmcv.ops`` without
the compiled module, so that ``import mmdet.models`` and ``import mmseg.models`` end in "No module named 'mmcv._ext'".
Upstream: https://github.com/open-mmlab/mmdetection/issues/10619, https://github.com/open-mmlab/mmdetection/issues/11475.
Needed by: mmcv-lite 2.1.0 (the newest that mmdet 3.3.0 accepts is below 2.2.0), and by a compiled mmcv whose library
does not fit the torch at hand.
"""

import importlib
import importlib.util
import sys
import warnings
from importlib.machinery import PathFinder

EXTENSION = "mmcv._ext"


def has_compiled_operators() -> bool:
    """Tell whether the installed mmcv brings a compiled ``_ext``, without importing mmcv."""
    package = importlib.util.find_spec("mmcv")
    if package is None or package.submodule_search_locations is None:
        return False
    return PathFinder.find_spec(EXTENSION, package.submodule_search_locations) is not None


def install_mmcv_operators() -> None:
    """Put the stand-in in the place of ``mmcv._ext`` unless a compiled one can be loaded.

    A compiled extension that loads is never touched. One that is there but fails to load (built for another torch)
    is replaced with a warning that says why.
    """
    if EXTENSION in sys.modules:
        return
    if has_compiled_operators():
        import torch  # noqa: F401  (the extension links against libraries that torch brings)

        try:
            importlib.import_module(EXTENSION)
        except (ImportError, OSError) as error:
            warnings.warn(
                f"The compiled operators of mmcv do not load with this torch ({error}). densevlm_mm uses its "
                "torchvision stand-in instead; rebuild mmcv for this torch to have all operators (docs/install.md).",
                stacklevel=2,
            )
        else:
            return
    sys.modules[EXTENSION] = importlib.import_module("densevlm_mm.compat.mmcv_ext")
