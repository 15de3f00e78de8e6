"""Records survive what happens to processes and disks, or are absent."""

import hashlib
import os
import resource
import signal
import time
from multiprocessing import get_context
from pathlib import Path

import pytest

from densevlm_mm.engine.teacher_cache import record_store
from densevlm_mm.engine.teacher_cache.record_store import RecordStore


def key(number: int) -> bytes:
    return hashlib.blake2b(str(number).encode(), digest_size=16).digest()


def payload(number: int) -> bytes:
    return hashlib.sha256(str(number).encode()).digest() * (1 + number % 50)


def written(folder: Path, count: int) -> RecordStore:
    store = RecordStore(folder)
    for number in range(count):
        store.write(key(number), payload(number))
    return store


def in_child(function, *arguments) -> object:
    process = get_context("fork").Process(target=function, args=arguments)
    process.start()
    return process


def test_what_was_written_is_read_now_and_by_a_later_process(tmp_path) -> None:
    store = written(tmp_path, 20)
    for reader in (store, RecordStore(tmp_path)):
        assert [reader.read(key(number)) for number in range(20)] == [payload(number) for number in range(20)]
        assert reader.read(key(20)) is None
        assert key(3) in reader
        assert key(20) not in reader
        assert len(reader) == 20
        assert reader.num_damaged == 0


def test_a_folder_that_does_not_exist_is_empty_and_made_when_written_to(tmp_path) -> None:
    store = RecordStore(tmp_path / "a/b")
    assert store.read(key(0)) is None
    assert not (tmp_path / "a").exists()
    store.write(key(0), b"")
    assert RecordStore(tmp_path / "a/b").read(key(0)) == b""


def test_records_of_others_are_seen_after_a_refresh_however_many_files_there_are(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(record_store, "_MOST_OPEN", 2)
    reader, writers = written(tmp_path, 1), [RecordStore(tmp_path) for _ in range(4)]
    for round_ in range(2):
        for i, writer in enumerate(writers):
            writer.write(key(100 * round_ + i), payload(100 * round_ + i))
        assert reader.read(key(100 * round_ + 3)) is None
        reader.refresh()
        for i in range(4):
            assert reader.read(key(100 * round_ + i)) == payload(100 * round_ + i)
    assert len(reader) == 8
    assert len(reader._readers) == 2


def test_two_processes_write_at_once_also_the_same_records(tmp_path) -> None:
    processes = [in_child(written, tmp_path, count) for count in (200, 300)]
    for process in processes:
        process.join()
        assert process.exitcode == 0
    store = RecordStore(tmp_path)
    assert len(store) == 300
    assert all(store.read(key(number)) == payload(number) for number in range(300))


def test_a_process_killed_while_it_writes_leaves_whole_records(tmp_path) -> None:
    process = in_child(written, tmp_path, 10**9)
    while not any(path.stat().st_size > 10_000 for path in tmp_path.glob("*.index")):
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    store = RecordStore(tmp_path)
    count = len(store)
    assert count > 600
    assert all(store.read(key(number)) == payload(number) for number in range(count))
    assert store.read(key(count)) is None
    store.write(key(count), payload(count))  # the next run mends the rest
    assert RecordStore(tmp_path).read(key(count)) == payload(count)


@pytest.mark.parametrize("kind", ["records", "index"])
def test_a_file_cut_at_any_byte_gives_whole_records_or_none(tmp_path, kind) -> None:
    written(tmp_path, 3).close()
    (path,) = tmp_path.glob(f"*.{kind}")
    content = path.read_bytes()
    for length in range(len(content)):
        path.write_bytes(content[:length])
        store = RecordStore(tmp_path)
        found = [store.read(key(number)) for number in range(3)]
        assert all(record in (payload(number), None) for number, record in enumerate(found))
        assert found[2] is None


def test_a_changed_byte_is_noticed_said_once_and_the_record_written_again(tmp_path, monkeypatch) -> None:
    written(tmp_path, 3).close()
    (path,) = tmp_path.glob("*.records")
    content = bytearray(path.read_bytes())
    for position in range(len(content)):
        content[position] ^= 4
        path.write_bytes(content)
        store = RecordStore(tmp_path)
        found = [store.read(key(number)) for number in range(3)]
        assert found.count(None) == 1
        assert all(record in (payload(number), None) for number, record in enumerate(found))
        content[position] ^= 4
    content[-1] ^= 4
    path.write_bytes(content)
    messages: list[str] = []
    monkeypatch.setattr(record_store, "_warn", messages.append)
    store = RecordStore(tmp_path)
    assert store.read(key(2)) is store.read(key(2)) is None
    assert len(messages) == 1
    assert f"{path} at byte" in messages[0]
    assert store.num_damaged == 2
    store.write(key(2), payload(2))
    assert store.read(key(2)) == RecordStore(tmp_path).read(key(2)) == payload(2)


def fill_a_small_disk(folder: Path) -> None:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (5_000, 5_000))  # as a full disk: an error in the middle of a write
    messages: list[str] = []
    record_store._warn = messages.append
    store = written(folder, 40)
    assert len(messages) == 1, messages
    assert "File too large" in messages[0]
    assert 0 < store.num_unwritten < 40
    for number in range(40):
        assert store.read(key(number)) == (payload(number) if number < 40 - store.num_unwritten else None)


def test_a_full_disk_is_said_once_and_what_was_written_stays(tmp_path) -> None:
    process = in_child(fill_a_small_disk, tmp_path)
    process.join()
    assert process.exitcode == 0
    assert 0 < len(RecordStore(tmp_path)) < 40


def test_a_folder_that_cannot_be_made_is_no_error(tmp_path) -> None:
    (tmp_path / "file").write_text("")
    store = written(tmp_path / "file/store", 2)
    assert store.num_unwritten == 2
    assert store.read(key(0)) is None


def test_removed_files_are_records_that_are_absent(tmp_path) -> None:
    written(tmp_path, 2).close()
    store = RecordStore(tmp_path)
    for path in tmp_path.iterdir():
        path.unlink()
    assert store.read(key(0)) is None
