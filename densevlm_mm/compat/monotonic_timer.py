"""Times of iterations, and the expected end of a run, from a clock that nobody sets.

What breaks: mmengine's ``IterTimerHook`` takes the time of day. When that clock is set during a run (a machine that
gets the time from the network late, or a virtual machine that was paused) the times, the throughput and the expected
end in the log are wrong by as much, for the rest of the run.
Upstream: no issue of mmengine was found that reports it.
Needed by: mmengine 0.10.7 (newest release).
"""

import time
from types import SimpleNamespace

from mmengine.hooks import iter_timer_hook


def use_monotonic_clock() -> None:
    """Replace the module ``time`` that `IterTimerHook` sees; nothing else sees the change."""
    iter_timer_hook.time = SimpleNamespace(time=time.monotonic)  # type: ignore[attr-defined]
