import os
import signal
import subprocess
import sys

import pytest

from densevlm_mm.engine.run_lock import lock_work_dir

HOLD = (
    "import os, sys, time\nfrom pathlib import Path\nfrom densevlm_mm.engine.run_lock import lock_work_dir\n"
    "lock_work_dir(Path(sys.argv[1]))\n"
    "child = os.fork() if len(sys.argv) > 2 else -1\n"
    "if child: print(child, flush=True)\n"
    "time.sleep(60)\n"
)


@pytest.fixture
def holder(request, tmp_path):
    """Another process that holds the folder, and the pid of a child that it forked."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path), *request.param], stdout=subprocess.PIPE, text=True
    )
    child = int(process.stdout.readline())
    yield process
    process.kill()
    process.wait()
    if child > 0:
        os.kill(child, signal.SIGKILL)


@pytest.mark.parametrize("holder", [[]], indirect=True)
def test_a_held_folder_is_refused_with_the_process_that_holds_it(holder, tmp_path) -> None:
    with pytest.raises(ValueError, match=rf"in use by process {holder.pid} on .*--work-dir"):
        lock_work_dir(tmp_path)


@pytest.mark.parametrize("holder", [["fork"]], indirect=True)
def test_a_killed_process_leaves_no_lock_although_its_workers_live(holder, tmp_path) -> None:
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    lock_work_dir(tmp_path)


def test_a_process_may_take_its_own_folder_again(tmp_path) -> None:
    lock_work_dir(tmp_path)
    lock_work_dir(tmp_path / ".." / tmp_path.name)
