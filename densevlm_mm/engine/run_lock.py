"""One run at a time in a work directory."""

import errno
import fcntl
import os
import socket
import time
from pathlib import Path

# By device and number of the file, since folders are renamed.
_held: dict[tuple[int, int], int] = {}


def lock_work_dir(work_dir: Path) -> None:
    """Hold a work directory until this process ends, however it ends.

    The kernel keeps the lock (``flock`` on ``.lock``) and lets go of it with the process, so that a crash leaves none
    behind. On NFS it holds between machines only if the server supports locks (version 4 does); where the file system
    has none at all the run goes on without. A work directory that this process holds already stays held.

    Raises:
        ValueError: If another process holds it; names the process.
    """
    path = work_dir / ".lock"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    if _identity(descriptor) in _held:
        os.close(descriptor)
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        holder = path.read_text(errors="replace").strip()
        os.close(descriptor)
        if error.errno in (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS):
            return
        raise ValueError(
            f"{work_dir} is in use by {holder or 'another process'}: wait for it or end it, or choose another "
            "--work-dir."
        ) from error
    os.ftruncate(descriptor, 0)
    os.write(descriptor, f"process {os.getpid()} on {socket.gethostname()}, since {time.ctime()}\n".encode())
    _held[_identity(descriptor)] = descriptor


def _identity(descriptor: int) -> tuple[int, int]:
    stat = os.fstat(descriptor)
    return stat.st_dev, stat.st_ino


def _forget_in_child() -> None:
    """Close the descriptors in a forked loader process, which may outlive the run for some seconds."""
    while _held:
        os.close(_held.popitem()[1])


os.register_at_fork(after_in_child=_forget_in_child)
