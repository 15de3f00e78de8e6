"""What lies on the disk while checkpoints come and go."""

import os
import resource
import shutil
from pathlib import Path

import pytest
import torch
from mmengine.fileio import get_file_backend
from mmengine.runner import Runner

from densevlm_mm.engine.atomic_backend import AtomicBackend
from densevlm_mm.engine.hooks import AtomicCheckpointHook
from tests.fixtures.toy_run import load, toy_runner
from tests.fixtures.work_dirs import let_go_of_work_dirs

EVERY = dict(interval=1, max_keep_ckpts=1)
BEST = dict(interval=100, save_best="error", rule="less")


def files(folder: Path) -> list[str]:
    """Names of the files, but for the config and the lock."""
    files = (path for path in folder.iterdir() if path.is_file())
    return sorted(path.name for path in files if path.suffix != ".py" and path.name != ".lock")


class Killed(BaseException):
    """The process ends here."""


@pytest.mark.parametrize("moment", range(1, 12))
def test_one_checkpoint_loads_whenever_the_process_is_killed(tmp_path, monkeypatch, moment) -> None:
    """Every change of the folder is a moment to be killed at, before it happens."""
    count = 0

    def maybe_killed(change):
        def changed(path, *args, **kwargs):
            nonlocal count
            if str(tmp_path) in str(path) and (".pth" in str(path) or "last_checkpoint" in str(path)):
                count += 1
                if count >= moment:
                    raise Killed
            return change(path, *args, **kwargs)

        return changed

    runner = toy_runner(tmp_path, iterations=4, checkpoint=EVERY)
    for name in ("replace", "unlink"):
        monkeypatch.setattr(os, name, maybe_killed(getattr(os, name)))
    with pytest.raises(Killed):
        runner.train()
    whole = [path for path in tmp_path.glob("iter_*.pth") if load(path)["optimizer"]]
    named = tmp_path / "last_checkpoint"
    if runner.iter > 1:
        assert whole
        assert Path(named.read_text()) in whole


def test_as_many_are_kept_as_asked_for_and_last_checkpoint_names_the_newest(tmp_path) -> None:
    toy_runner(tmp_path, iterations=5, checkpoint=dict(interval=1, max_keep_ckpts=2)).train()
    assert files(tmp_path) == ["iter_4.pth", "iter_5.pth", "last_checkpoint"]
    assert (tmp_path / "last_checkpoint").read_text() == str(tmp_path / "iter_5.pth")


def test_a_resumed_run_goes_on_keeping_and_a_new_folder_keeps_its_own(tmp_path) -> None:
    options = dict(checkpoint=dict(interval=1, max_keep_ckpts=2))
    toy_runner(tmp_path / "a", iterations=3, **options).train()
    toy_runner(tmp_path / "a", iterations=4, resume=tmp_path / "a" / "iter_3.pth", **options).train()
    assert files(tmp_path / "a") == ["iter_3.pth", "iter_4.pth", "last_checkpoint"]
    toy_runner(tmp_path / "b", iterations=5, resume=tmp_path / "a" / "iter_4.pth", **options).train()
    assert files(tmp_path / "a") == ["iter_3.pth", "iter_4.pth", "last_checkpoint"]
    assert files(tmp_path / "b") == ["iter_5.pth", "last_checkpoint"]


def test_what_a_killed_run_had_no_time_to_delete_is_deleted_by_the_next(tmp_path, monkeypatch) -> None:
    runner = toy_runner(tmp_path, iterations=3, checkpoint=dict(interval=1, max_keep_ckpts=2))
    monkeypatch.setattr(AtomicCheckpointHook, "_delete_outdated", lambda self: None)
    runner.train()
    monkeypatch.undo()
    assert files(tmp_path) == ["iter_1.pth", "iter_2.pth", "iter_3.pth", "last_checkpoint"]
    last = tmp_path / "iter_3.pth"
    toy_runner(tmp_path, iterations=3, checkpoint=dict(interval=1, max_keep_ckpts=2), resume=last).train()
    assert files(tmp_path) == ["iter_2.pth", "iter_3.pth", "last_checkpoint"]


def test_a_full_disk_is_named_with_what_is_left(tmp_path) -> None:
    """A limit on the size of files stands in for the disk: it needs no rights and fails in the same place."""
    ballast = 100_000  # more than the log
    toy_runner(tmp_path, iterations=1, checkpoint=EVERY, ballast=ballast).train()
    size = (tmp_path / "iter_1.pth").stat().st_size
    runner = toy_runner(tmp_path, iterations=3, checkpoint=EVERY, ballast=ballast, resume=tmp_path / "iter_1.pth")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size // 2, limits[1]))
    try:
        with pytest.raises(OSError, match=r"iter_2\.pth could not be written: .* MiB; .*free.*iter_1\.pth; --resume"):
            runner.train()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert files(tmp_path) == ["iter_1.pth", "last_checkpoint"]
    assert load(tmp_path / "iter_1.pth")["meta"]["iter"] == 1


def better(runner: Runner) -> Runner:
    """Make the next evaluation better than all before."""
    runner.val_evaluator.metrics[0].compute_metrics = lambda results: dict(error=-float(runner.iter))
    return runner


def test_the_best_one_is_replaced_by_a_better_one(tmp_path) -> None:
    better(toy_runner(tmp_path, iterations=8, val=True, checkpoint=BEST)).train()
    assert files(tmp_path) == ["best_error_iter_8.pth", "iter_8.pth", "last_checkpoint"]


def test_the_best_one_of_another_folder_is_never_deleted(tmp_path) -> None:
    options = dict(val=True, checkpoint={**BEST, "interval": 6})
    better(toy_runner(tmp_path / "old", iterations=8, **options)).train()
    before = files(tmp_path / "old")
    better(toy_runner(tmp_path / "new", iterations=12, resume=tmp_path / "old" / "iter_8.pth", **options)).train()
    assert files(tmp_path / "old") == before
    assert "best_error_iter_12.pth" in files(tmp_path / "new")


def test_the_best_one_of_a_renamed_folder_is_known_by_its_name(tmp_path) -> None:
    options = dict(val=True, checkpoint={**BEST, "interval": 6})
    better(toy_runner(tmp_path / "old", iterations=8, **options)).train()
    let_go_of_work_dirs()  # as the end of its process does
    shutil.move(tmp_path / "old", tmp_path / "new")
    better(toy_runner(tmp_path / "new", iterations=12, resume=tmp_path / "new" / "iter_8.pth", **options)).train()
    assert [name for name in files(tmp_path / "new") if name.startswith("best")] == ["best_error_iter_12.pth"]


@pytest.mark.parametrize("inside", [True, False])
def test_files_that_a_checkpoint_merely_names_are_not_deleted(tmp_path, inside) -> None:
    work_dir = tmp_path / "run"
    options = dict(val=True, checkpoint={**BEST, "interval": 2, "max_keep_ckpts": 1})
    toy_runner(work_dir, iterations=4, **options).train()
    document = (work_dir if inside else tmp_path) / "thesis.doc"
    document.write_text("years of work")
    checkpoint = load(work_dir / "iter_4.pth")
    name = "thesis.doc" if inside else "../thesis.doc"
    checkpoint["message_hub"]["runtime_info"].update(
        best_ckpt=str(document), kept_checkpoints=[name, "iter_4.pth"], keep_ckpt_ids=["/../../thesis.doc", 4]
    )
    torch.save(checkpoint, work_dir / "iter_4.pth")
    better(toy_runner(work_dir, iterations=8, resume=work_dir / "iter_4.pth", **options)).train()
    assert document.read_text() == "years of work"


def test_save_best_of_an_unknown_metric_names_the_known_ones(tmp_path) -> None:
    runner = toy_runner(tmp_path, iterations=4, val=True, checkpoint=dict(save_best="mIoU"))
    with pytest.raises(KeyError, match=r"save_best='mIoU' is none of the metrics: error"):
        runner.train()


def test_other_backends_are_left_to_mmengine(tmp_path) -> None:
    hook = AtomicCheckpointHook(interval=1, backend_args=dict(backend="petrel"))
    assert not hook.is_atomic
    assert not AtomicCheckpointHook(interval=1, out_dir="s3://bucket").is_atomic
    assert AtomicCheckpointHook(interval=1).is_atomic


def test_checkpoints_may_lie_outside_the_work_dir(tmp_path) -> None:
    checkpoint = dict(interval=1, max_keep_ckpts=1, out_dir=str(tmp_path / "fast_disk"))
    toy_runner(tmp_path / "run", iterations=2, checkpoint=checkpoint).train()
    assert files(tmp_path / "fast_disk" / "run") == ["iter_2.pth"]
    assert (tmp_path / "run" / "last_checkpoint").read_text() == str(tmp_path / "fast_disk" / "run" / "iter_2.pth")


def test_the_backend_writes_what_it_is_given(tmp_path) -> None:
    backend = get_file_backend(backend_args=dict(backend="atomic"))
    assert isinstance(backend, AtomicBackend)
    backend.put(b"\x00\xff", tmp_path / "a" / "bytes")
    backend.put_text("ü", tmp_path / "a" / "text")
    assert (tmp_path / "a" / "bytes").read_bytes() == b"\x00\xff"
    assert (tmp_path / "a" / "text").read_text(encoding="utf-8") == "ü"
    assert len(list((tmp_path / "a").iterdir())) == 2
