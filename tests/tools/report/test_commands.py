import os
import sys
import time
from pathlib import Path

import pytest

from report.commands import CommandError, RunningCommand


def test_output_goes_to_the_log_and_time_is_measured(tmp_path: Path) -> None:
    code = "import os; print(os.getcwd(), os.environ['OMP_NUM_THREADS']); sum(range(3_000_000))"
    command = RunningCommand(tmp_path, ["-c", code], tmp_path / "logs" / "a.log")
    command.wait()
    threads = os.environ.get("OMP_NUM_THREADS", "1")
    assert (tmp_path / "logs" / "a.log").read_text().split() == [str(tmp_path.resolve()), threads]
    assert command.cpu_seconds > 0
    assert command.seconds > 0


def test_a_failure_shows_the_end_of_the_log(tmp_path: Path) -> None:
    code = "for i in range(100): print('line', i)\nraise SystemExit(3)"
    command = RunningCommand(tmp_path, ["-c", code], tmp_path / "a.log")
    with pytest.raises(CommandError) as caught:
        command.wait()
    message = str(caught.value)
    assert "line 99" in message
    assert "line 50\n" not in message
    assert f"the whole log: {tmp_path / 'a.log'}" in message


def test_a_command_can_be_stopped(tmp_path: Path) -> None:
    began = time.monotonic()
    command = RunningCommand(tmp_path, ["-c", "import time; time.sleep(60)"], tmp_path / "a.log")
    assert command.poll() is None
    command.stop()
    assert command.poll() not in (None, 0)
    assert time.monotonic() - began < 30


def test_commands_are_shown_as_one_types_them(tmp_path: Path) -> None:
    command = RunningCommand(tmp_path, ["-c", "print('a b')"], tmp_path / "a.log")
    command.wait()
    assert command.shown == "python -c 'print('\"'\"'a b'\"'\"')'"
    assert sys.executable not in command.shown
