"""Runs that meet in a work directory, and runs that go on elsewhere, through the real tool."""

import shutil
import signal

import pytest

from tests.faults.conftest import load

pytestmark = pytest.mark.faults

CONFIG = "configs/tiny/densevlm.py"


@pytest.fixture(scope="module")
def options(small_data_options) -> list[str]:
    return [option for option in small_data_options if "val_dataloader.batch_size" not in option]


def one_line(log: str) -> str:
    return next(line for line in log.splitlines() if line.startswith("tools/train.py:"))


def test_two_runs_cannot_have_one_folder_at_once_or_one_after_the_other(train, options, tmp_path) -> None:
    first = train(CONFIG, "--work-dir", tmp_path / "run", options=[*options, "train_cfg.max_epochs=1000"])
    first.wait_for(r"\[1/8\]")
    second = train(CONFIG, "--resume", "--work-dir", tmp_path / "run", options=options)
    assert second.end() == 1
    assert f"in use by process {first.process.pid}" in one_line(second.log)
    first.process.send_signal(signal.SIGTERM)
    assert first.end() == 143, first.log[-3000:]
    before = {path.name: path.read_bytes() for path in (tmp_path / "run").glob("*.pth")}
    third = train(CONFIG, "--work-dir", tmp_path / "run", options=options)
    assert third.end() == 1
    assert "--resume" in one_line(third.log)
    assert {path.name: path.read_bytes() for path in (tmp_path / "run").glob("*.pth")} == before


def test_a_copied_folder_goes_on_from_its_own_checkpoint(train, options, tmp_path) -> None:
    first = train(CONFIG, "--work-dir", tmp_path / "run", options=options)
    assert first.end() == 0, first.log[-3000:]
    shutil.copytree(tmp_path / "run", tmp_path / "copy")
    (tmp_path / "copy" / "iter_8.pth").write_bytes((tmp_path / "copy" / "iter_8.pth").read_bytes()[:-999])
    second = train(CONFIG, "--resume", "--work-dir", tmp_path / "copy", options=options)
    assert second.end() == 0, second.log[-3000:]
    assert f"goes on from {tmp_path / 'copy' / 'iter_6.pth'}" in second.log
    assert "iter_8.pth is cut short" in second.log


def test_other_processes_go_on_with_the_same_images_or_are_refused(train, options, tmp_path) -> None:
    """A batch of 4 images: of one process; of two with 2 each; and of two with 4 each, which is another run."""
    first = train(CONFIG, "--work-dir", tmp_path / "run", options=options)
    assert first.end() == 0, first.log[-3000:]
    (tmp_path / "run" / "last_checkpoint").write_text(str(tmp_path / "run" / "iter_3.pth"))
    refused = train(CONFIG, "--resume", "--work-dir", tmp_path / "run", options=options, processes=2)
    assert refused.end() != 0
    assert "cannot go on with 8 images an iteration (2 x 4) where the run had 4 (1 x 4)" in one_line(refused.log)
    half = [*options, "train_dataloader.batch_size=2"]
    later = train(CONFIG, "--resume", "--work-dir", tmp_path / "run", options=half, processes=2)
    assert later.end() == 0, later.log[-3000:]
    assert "[1][4/8]" in later.log
    assert "[1][3/8]" not in later.log
    assert load(tmp_path / "run" / "iter_8.pth")["meta"]["batches"]["num_processes"] == 2
