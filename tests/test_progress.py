import itertools
import sys

import pytest

from densevlm_mm import progress
from densevlm_mm.progress import track_batches

BATCHES = [[1, 2, 3], [4, 5, 6], [7, 8], [9, 10]]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock that goes on by 20 seconds whenever somebody looks."""
    ticks = itertools.count(step=20)
    monkeypatch.setattr(progress.time, "monotonic", lambda: float(next(ticks)))


def test_a_log_gets_a_line_now_and_then_with_the_time_that_is_left(clock, capture_log) -> None:
    assert list(track_batches(iter(BATCHES), 10, "prompts of 'pets'")) == BATCHES
    assert capture_log() == ["prompts of 'pets': 6 of 10, 0:00:27 left"]  # 40 s for six; the last line is not needed


def test_what_is_quickly_done_says_nothing(capture_log, capsys) -> None:
    assert list(track_batches(BATCHES, 10, "prompts")) == BATCHES
    assert not capture_log()
    assert capsys.readouterr() == ("", "")


def test_a_terminal_shows_a_bar(monkeypatch, capsys, capture_log) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    assert list(track_batches(BATCHES, 10, "prompts of 'pets'")) == BATCHES
    shown = capsys.readouterr()
    assert "prompts of 'pets'" in shown.err
    assert "10/10" in shown.err
    assert not shown.out
    assert not capture_log()


def test_a_loop_may_stop_early() -> None:
    assert next(iter(track_batches(BATCHES, 10, "prompts"))) == [1, 2, 3]
