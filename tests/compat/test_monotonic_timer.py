import time
from types import SimpleNamespace

import pytest
from mmengine.hooks import IterTimerHook, iter_timer_hook
from mmengine.logging import MessageHub

from densevlm_mm.compat.monotonic_timer import use_monotonic_clock


def test_a_clock_that_jumps_by_a_day_changes_no_time_and_no_expected_end(monkeypatch) -> None:
    monkeypatch.setattr(iter_timer_hook, "time", time)
    use_monotonic_clock()
    hub = MessageHub.get_instance("jumping_clock")
    runner = SimpleNamespace(message_hub=hub, iter=0, max_iters=10)
    hook = IterTimerHook()
    hook.before_train(runner)
    hook.before_train_epoch(runner)
    real = time.time
    for iteration in range(4):
        monkeypatch.setattr(time, "time", lambda day=86400 * iteration: real() + day)
        runner.iter = iteration
        hook.before_train_iter(runner, 0)
        hook.after_train_iter(runner, 0)
    assert hub.get_scalar("train/time").max() < 3600
    assert hub.get_info("eta") == pytest.approx(0, abs=3600)
