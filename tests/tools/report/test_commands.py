import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from report.commands import CommandError, RunningCommand


def start(folder: Path, code: str) -> RunningCommand:
    script = folder / "script.py"
    script.write_text(code)
    return RunningCommand(folder, [str(script), "a b"], folder / "logs" / "a.log")


def test_output_goes_to_the_log_and_time_is_measured(tmp_path: Path) -> None:
    code = "import os; print(os.getcwd(), os.environ['OMP_NUM_THREADS']); sum(range(3_000_000))"
    command = start(tmp_path, code)
    command.wait()
    threads = os.environ.get("OMP_NUM_THREADS", "1")
    assert (tmp_path / "logs" / "a.log").read_text().split() == [str(tmp_path.resolve()), threads]
    assert command.cpu_seconds > 0
    assert command.seconds > 0


def test_a_failure_shows_the_end_of_the_log(tmp_path: Path) -> None:
    code = "for i in range(100): print('line', i)\nraise SystemExit(3)"
    command = start(tmp_path, code)
    with pytest.raises(CommandError) as caught:
        command.wait()
    message = str(caught.value)
    assert "line 99" in message
    assert "line 50\n" not in message
    assert f"the whole log: {tmp_path / 'logs/a.log'}" in message


def test_a_command_can_be_stopped(tmp_path: Path) -> None:
    command = start(tmp_path, "import time; time.sleep(60)")
    began = time.monotonic()
    assert command.poll() is None
    command.stop()
    assert command.poll() not in (None, 0)
    assert time.monotonic() - began < 30


def test_commands_are_shown_as_one_types_them(tmp_path: Path) -> None:
    command = start(tmp_path, "import sys; print(sys.argv)")
    command.wait()
    script = str(tmp_path / "script.py")
    assert command.shown == f"python {script} 'a b'"
    assert (tmp_path / "logs/a.log").read_text() == f"{[script, 'a b']}\n"


def test_a_command_runs_as_a_script_with_what_all_import_already_there(tmp_path: Path) -> None:
    (tmp_path / "beside.py").write_text("import sys\nhas_torch = 'torch' in sys.modules")
    command = start(tmp_path, "import beside; print(__name__, beside.has_torch)")
    command.wait()
    assert command.log.read_text() == "__main__ True\n"


def test_the_time_of_data_loading_processes_counts(tmp_path: Path) -> None:
    code = """
import time, torch
class Busy(torch.utils.data.Dataset):
    def __len__(self): return 1
    def __getitem__(self, index):
        while time.process_time() < 2: pass
        return index
loader = torch.utils.data.DataLoader(Busy(), num_workers=1, persistent_workers=True)
def main(): list(loader)
main()
"""
    command = start(tmp_path, code)
    command.wait()
    assert command.cpu_seconds > 1.5


def test_commands_start_and_end_side_by_side(tmp_path: Path) -> None:
    with ThreadPoolExecutor(4) as threads:
        codes = list(threads.map(lambda number: _exit_code(tmp_path / str(number), number), range(24)))
    assert codes == list(range(24))


def _exit_code(folder: Path, number: int) -> int | None:
    folder.mkdir()
    return start(folder, f"raise SystemExit({number})").poll(wait=True)
