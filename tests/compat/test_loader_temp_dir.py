"""Folders that killed processes leave in the system's temporary folder."""

import os
import subprocess
import sys
from pathlib import Path

from densevlm_mm.compat import loader_temp_dir

SCRIPT = """
import os, signal, sys, time
import multiprocessing.util
sys.path.insert(0, sys.argv[1])  # the module alone: the package takes seconds to import
import loader_temp_dir

loader_temp_dir._LONGEST = 300  # a test's folder lies deep
loader_temp_dir.share_loader_temp_dir()
child = os.fork()
if child == 0:
    print(multiprocessing.util.get_temp_dir(), flush=True)
    os._exit(0)
os.waitpid(child, 0)
print(multiprocessing.util.get_temp_dir(), flush=True)
if sys.argv[2] == "killed":
    os.kill(os.getpid(), signal.SIGKILL)
"""


def run(tmp_path: Path, end: str) -> list[str]:
    command = [sys.executable, "-c", SCRIPT, str(Path(loader_temp_dir.__file__).parent), end]
    result = subprocess.run(
        command, env=dict(os.environ, TMPDIR=str(tmp_path)), capture_output=True, text=True, check=False
    )
    assert not result.stderr
    return result.stdout.splitlines()


def test_workers_share_a_folder_that_goes_with_the_process(tmp_path) -> None:
    folder = tmp_path / "t"
    folder.mkdir()
    of_child, own = run(folder, "well")
    assert of_child == own
    assert folder in Path(own).parents
    assert list(folder.iterdir()) == []


def test_what_a_killed_process_left_is_removed_by_the_next(tmp_path) -> None:
    folder = tmp_path / "t"
    folder.mkdir()
    run(folder, "killed")
    (left,) = folder.iterdir()
    run(folder, "well")
    assert list(folder.iterdir()) == [left]  # it may be about to be locked
    os.utime(left, (0, 0))
    run(folder, "well")
    assert list(folder.iterdir()) == []
