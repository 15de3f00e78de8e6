"""One temporary folder for all processes of data loaders, removed with the run or by the next one.

What breaks: a worker process of a data loader that hands tensors over makes a folder ``pymp-*`` in the system's
temporary folder. It removes it when it ends by itself; a worker that is killed, or whose main process is, leaves it
there, one for each worker and run.
Upstream: no issue of Python or torch was found that reports the folders; https://github.com/pytorch/pytorch/issues/93846
is about other files that workers leave behind.
Needed by: CPython 3.11 to 3.14 (multiprocessing.util.get_temp_dir) with torch's ``file_descriptor`` sharing.
"""

import fcntl
import multiprocessing.util
import os
import shutil
import tempfile
import time
from pathlib import Path

_PREFIX = "dvlm-"
_SETTLED_SECONDS = 60.0
# A socket's path has at most 107 characters; in the folder it is called pymp-xxxxxxxx/listener-xxxxxxxx.
_LONGEST = 70


def share_loader_temp_dir() -> None:
    """Make the folder that worker processes inherit; call it before the first worker starts.

    Whoever made a folder holds a lock on it as long as it lives. Folders of processes that are gone are removed.
    Nothing happens if this process has such a folder already, or if the temporary folder's path is too long for one.
    """
    root = Path(tempfile.gettempdir())
    if multiprocessing.current_process()._config.get("tempdir") or len(str(root)) > _LONGEST:  # type: ignore[attr-defined]
        return
    for left in root.glob(f"{_PREFIX}*"):
        _remove_if_abandoned(left)
    folder = Path(tempfile.mkdtemp(prefix=_PREFIX))
    lock = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT)
    fcntl.flock(lock, fcntl.LOCK_EX)  # held until this process ends
    before, tempfile.tempdir = tempfile.tempdir, str(folder)
    try:
        multiprocessing.util.get_temp_dir()
    finally:
        tempfile.tempdir = before
    # After multiprocessing's own finalizer (-100), which removes the folder in it.
    multiprocessing.util.Finalize(None, shutil.rmtree, args=(folder, True), exitpriority=-200)


def _remove_if_abandoned(folder: Path) -> None:
    try:
        if time.time() - folder.stat().st_mtime < _SETTLED_SECONDS:
            return  # perhaps not locked yet
        lock = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT)
    except OSError:  # another user's, or gone in the meantime
        return
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(folder, ignore_errors=True)
    except OSError:
        pass
    finally:
        os.close(lock)
