import errno
import os
import signal
import subprocess
import sys

import pytest
from safetensors import SafetensorError

from densevlm_mm.files import atomic_write, remove_partial_files, write_text


def write_and_fail(path, error):
    with atomic_write(path) as partial:
        partial.write_text("half")
        raise error


def test_an_error_of_the_block_that_is_none_of_the_disk_stays_as_it_is(tmp_path):
    with pytest.raises(FileNotFoundError, match="another file"):
        write_and_fail(tmp_path / "table.csv", FileNotFoundError(errno.ENOENT, "another file"))


def test_the_file_appears_when_the_block_has_ended(tmp_path):
    path = tmp_path / "new" / "table.csv"
    with atomic_write(path) as partial:
        partial.write_text("a,b\n")
        assert partial.parent == path.parent
        assert partial.suffix == ".csv"
        assert not path.exists()
    assert path.read_text() == "a,b\n"
    assert list(path.parent.iterdir()) == [path]


def test_a_failing_block_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text("old")
    with pytest.raises(ZeroDivisionError):
        write_and_fail(path, ZeroDivisionError())
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_new_files_have_the_permissions_that_open_gives(tmp_path):
    write_text(tmp_path / "ours", "ü")
    (tmp_path / "plain").write_text("ü", encoding="utf-8")
    assert (tmp_path / "ours").read_bytes() == (tmp_path / "plain").read_bytes()
    assert (tmp_path / "ours").stat().st_mode == (tmp_path / "plain").stat().st_mode


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)),
        RuntimeError("PytorchStreamWriter failed writing file data/3: file write failed"),
        SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)"),
    ],
    ids=["python", "torch", "safetensors"],
)
def test_a_full_disk_is_named_with_file_and_free_space(tmp_path, error):
    with pytest.raises(OSError, match=r"encoder\.bin could not be written: No space left.*MiB free") as caught:
        write_and_fail(tmp_path / "encoder.bin", error)
    assert caught.value.errno == errno.ENOSPC
    assert not list(tmp_path.iterdir())


def test_a_killed_writer_leaves_the_old_file_and_what_it_left_can_be_removed(tmp_path):
    path = tmp_path / "weights.bin"
    path.write_text("old")
    script = (
        "import sys, time\nfrom densevlm_mm.files import atomic_write\n"
        "with atomic_write(sys.argv[1]) as partial:\n"
        "    partial.write_text('half'); print('writing', flush=True); time.sleep(60)\n"
    )
    writer = subprocess.Popen([sys.executable, "-c", script, str(path)], stdout=subprocess.PIPE, text=True)
    assert writer.stdout is not None
    assert writer.stdout.readline() == "writing\n"
    writer.send_signal(signal.SIGKILL)
    writer.wait()
    assert path.read_text() == "old"
    (left,) = remove_partial_files(tmp_path)
    assert left.name.endswith(".bin")
    assert list(tmp_path.iterdir()) == [path]
