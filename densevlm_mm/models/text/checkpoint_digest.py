"""The content hash of a checkpoint file, remembered so that a file is read once and not at every start.

A remembered hash counts only while size, modification time, change time and inode of the file are what they were, and
only if the file had been at rest for a while when it was hashed (the rule of git's index): copying an older file over
it, or rewriting it within the clock's resolution, is noticed.
"""

import hashlib
import json
import time
from contextlib import suppress
from pathlib import Path

from densevlm_mm.files import write_text

_REST_NS = 2_000_000_000
_MEMO = "checkpoint_digests.json"


def checkpoint_digest(checkpoint: str | Path, memo_dir: str | Path) -> str:
    """SHA-256 of a file's content.

    Args:
        checkpoint: The file.
        memo_dir: Folder that keeps what is remembered; made when it does not exist, done without if it cannot be.

    Raises:
        FileNotFoundError: If the file does not exist.
    """
    path = Path(checkpoint).resolve()
    if not path.is_file():
        raise FileNotFoundError(f"checkpoint {str(checkpoint)!r} does not exist")
    memo_path = Path(memo_dir) / _MEMO
    memo = _read_memo(memo_path)
    state = _file_state(path)
    known = memo.get(str(path))
    if known is not None and known["state"] == state and max(state[1:3]) + _REST_NS < known["hashed_at_ns"]:
        return known["sha256"]
    hashed_at_ns = time.time_ns()
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if _file_state(path) == state:
        memo[str(path)] = {"state": state, "hashed_at_ns": hashed_at_ns, "sha256": digest}
        _write_memo(memo_path, memo)
    return digest


def _file_state(path: Path) -> list[int]:
    stat = path.stat()
    return [stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino]


def _read_memo(path: Path) -> dict:
    try:
        memo = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError):
        return {}  # only costs hashing the checkpoint again
    return memo if isinstance(memo, dict) else {}


def _write_memo(path: Path, memo: dict) -> None:
    # Of two processes that write at once one loses its entry, which again only costs hashing.
    with suppress(OSError):  # a folder that cannot be written to costs the same
        write_text(path, json.dumps(memo, indent=1))
