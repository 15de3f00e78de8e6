"""The content hash of a checkpoint file, remembered so that a file is read once and not at every start.

A remembered hash counts only while size, modification time, change time and inode of the file are what they were, and
only if the file had been at rest for a while when it was hashed (the rule of git's index): copying an older file over
it, or rewriting it within the clock's resolution, is noticed.
"""

import hashlib
import re
import time
from pathlib import Path
from typing import Any

from densevlm_mm.models.text.cache_folder import Memo

_REST_NS = 2_000_000_000
_MEMO = "checkpoint_digests.json"
_SHA256 = re.compile(r"[0-9a-f]{64}")


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
    memo = Memo(Path(memo_dir) / _MEMO)
    state = _file_state(path)
    known = _remembered(memo.get(str(path)), state)
    if known is not None:
        return known
    hashed_at_ns = time.time_ns()
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if _file_state(path) == state:
        memo.set(str(path), {"state": state, "hashed_at_ns": hashed_at_ns, "sha256": digest})
    return digest


def _file_state(path: Path) -> list[int]:
    stat = path.stat()
    return [stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino]


def _remembered(entry: dict[str, Any], state: list[int]) -> str | None:
    hashed_at_ns, digest = entry.get("hashed_at_ns"), entry.get("sha256")
    fits = (
        entry.get("state") == state
        and isinstance(hashed_at_ns, int)
        and max(state[1:3]) + _REST_NS < hashed_at_ns
        and isinstance(digest, str)
        and _SHA256.fullmatch(digest)
    )
    return digest if fits else None
