"""Lets ``torch.load(weights_only=True)`` read the checkpoints of mmengine's Runner, and nothing more.

What breaks: since torch 2.6 ``torch.load`` allows only tensors and plain containers unless told otherwise. A checkpoint
of mmengine's Runner also holds `HistoryBuffer` objects (numpy arrays, and methods that pickle as calls of ``getattr``),
so that resuming, ``load_from`` and ``tools/test.py`` end in an `UnpicklingError`.
Upstream: https://github.com/open-mmlab/mmengine/issues/1655; https://github.com/open-mmlab/mmengine/pull/1650 (open)
would turn the protection off. We keep it on: a checkpoint from a stranger must not run code.
Needed by: mmengine 0.10.7 (newest release) with torch 2.6 and newer.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from mmengine.logging import HistoryBuffer

# What HistoryBuffer registers by itself; other methods of it are not needed to load a checkpoint.
_STATISTICS = frozenset({"min", "max", "mean", "current"})

# Kinds of numbers and text that the arrays of a checkpoint hold, as numpy's one-letter codes.
_DTYPE_CODES = "?bhilqBHILQefdSU"


def restricted_getattr(owner: Any, name: str) -> Callable[..., Any]:
    """Stand in for ``getattr`` while a checkpoint is read: the statistics methods of `HistoryBuffer` and no others.

    Allowing the real ``getattr`` would give a crafted file a way to every function of the interpreter.

    Raises:
        ValueError: For any other pair of arguments.
    """
    if owner is HistoryBuffer and name in _STATISTICS:
        return getattr(HistoryBuffer, name)
    raise ValueError(
        f"The checkpoint asks for getattr({owner!r}, {name!r}). Only the statistics of mmengine's HistoryBuffer "
        f"({', '.join(sorted(_STATISTICS))}) are allowed: the file is no plain checkpoint, do not trust it."
    )


def allow_runner_checkpoints() -> None:
    """Register what a Runner checkpoint holds beyond tensors as safe to load."""
    # Taken from an array's own pickle form, because numpy 2 moved them: numpy.core became numpy._core.
    reconstruct: Any = np.zeros(0).__reduce__()[0]
    scalar: Any = np.float64(0).__reduce__()[0]
    torch.serialization.add_safe_globals(
        [
            (restricted_getattr, "builtins.getattr"),
            HistoryBuffer,
            np.ndarray,
            np.dtype,
            *((reconstruct, f"numpy.{core}.multiarray._reconstruct") for core in ("core", "_core")),
            *((scalar, f"numpy.{core}.multiarray.scalar") for core in ("core", "_core")),
            *{type(np.dtype(code)) for code in _DTYPE_CODES},
        ]
    )
