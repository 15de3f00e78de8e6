"""Hooks, loops and optimizer wrappers."""

from densevlm_mm.compat.monotonic_timer import use_monotonic_clock
from densevlm_mm.engine import hooks, loops, optim_wrappers

__all__ = ["hooks", "loops", "optim_wrappers"]

use_monotonic_clock()
