import hashlib
import json
import os
from pathlib import Path

import pytest

from densevlm_mm.models.text.checkpoint_digest import checkpoint_digest

HOUR_NS = 3600 * 10**9


def sha(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    path = tmp_path / "weights.pt"
    path.write_bytes(b"old weights")
    return path


def pretend_at_rest(memo_dir: Path) -> None:
    """Moves the hashing into the future: the change time of a test's file cannot be set back."""
    memo_path = memo_dir / "checkpoint_digests.json"
    memo = json.loads(memo_path.read_text())
    for entry in memo.values():
        entry["hashed_at_ns"] += HOUR_NS
    memo_path.write_text(json.dumps(memo))


def test_a_file_at_rest_is_read_once(checkpoint: Path, tmp_path: Path) -> None:
    expected = sha(checkpoint)
    assert checkpoint_digest(checkpoint, tmp_path / "memo") == expected
    pretend_at_rest(tmp_path / "memo")
    memo_path = tmp_path / "memo" / "checkpoint_digests.json"
    memo = json.loads(memo_path.read_text())
    memo[str(checkpoint)]["sha256"] = "0" * 64
    memo_path.write_text(json.dumps(memo))
    assert checkpoint_digest(checkpoint, tmp_path / "memo") == "0" * 64


def test_a_file_hashed_right_after_it_was_written_is_read_again(checkpoint: Path, tmp_path: Path) -> None:
    checkpoint_digest(checkpoint, tmp_path)
    stat = checkpoint.stat()
    checkpoint.write_bytes(b"new weights")  # same size; and a clock that has not moved:
    os.utime(checkpoint, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert checkpoint_digest(checkpoint, tmp_path) == sha(checkpoint)


def test_same_size_and_modification_time_do_not_deceive(checkpoint: Path, tmp_path: Path) -> None:
    old = checkpoint_digest(checkpoint, tmp_path)
    pretend_at_rest(tmp_path)
    stat = checkpoint.stat()
    checkpoint.write_bytes(b"new weights")
    os.utime(checkpoint, ns=(stat.st_atime_ns, stat.st_mtime_ns))  # as `cp -p` does; the change time tells
    assert checkpoint_digest(checkpoint, tmp_path) == sha(checkpoint) != old


def test_a_replaced_file_is_noticed(checkpoint: Path, tmp_path: Path) -> None:
    checkpoint_digest(checkpoint, tmp_path)
    pretend_at_rest(tmp_path)
    other = tmp_path / "other"
    other.write_bytes(b"new weights")
    os.replace(other, checkpoint)
    assert checkpoint_digest(checkpoint, tmp_path) == sha(checkpoint)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"7",
        b"\xff\xfe{}",
        b"[" * 100_000,
        b'{"FILE": null}',
        b'{"FILE": []}',
        b'{"FILE": {}}',
        b'{"FILE": {"state": STATE, "sha256": "DIGEST"}}',
        b'{"FILE": {"state": STATE, "hashed_at_ns": 1e400, "sha256": "DIGEST"}}',
        b'{"FILE": {"state": STATE, "hashed_at_ns": "later", "sha256": "DIGEST"}}',
        b'{"FILE": {"state": STATE, "hashed_at_ns": LATER}}',
        b'{"FILE": {"state": STATE, "hashed_at_ns": LATER, "sha256": "DIG"}}',
        b'{"FILE": {"state": STATE, "hashed_at_ns": LATER, "sha256": ["DIGEST"]}}',
        b'{"FILE": {"state": "STATE", "hashed_at_ns": LATER, "sha256": "DIGEST"}}',
    ],
)
def test_a_damaged_memo_costs_only_time(checkpoint: Path, tmp_path: Path, content: bytes) -> None:
    stat = checkpoint.stat()
    state = [stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino]
    names = {"FILE": str(checkpoint), "STATE": str(state), "DIGEST": "0" * 64, "LATER": str(stat.st_ctime_ns + HOUR_NS)}
    for name, value in names.items():
        content = content.replace(name.encode(), value.encode())
    memo = tmp_path / "memo" / "checkpoint_digests.json"
    memo.parent.mkdir()
    memo.write_bytes(content)
    assert checkpoint_digest(checkpoint, memo.parent) == sha(checkpoint)
    assert json.loads(memo.read_text())[str(checkpoint)]["sha256"] == sha(checkpoint)  # mended


def test_a_memo_that_cannot_be_written_is_done_without(checkpoint: Path, tmp_path: Path) -> None:
    (tmp_path / "no_folder").write_text("")
    assert checkpoint_digest(checkpoint, tmp_path / "no_folder") == sha(checkpoint)


def test_missing_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="gone"):
        checkpoint_digest(tmp_path / "gone.pt", tmp_path)
