"""What ``--resume`` finds in folders of every kind."""

import shutil
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from densevlm_mm.engine.resumable_checkpoints import (
    checkpoint_folder,
    find_resumable,
    list_checkpoints,
    why_not_resumable,
)


def write(path: Path, iteration: int, **changes) -> Path:
    content = dict(meta=dict(iter=iteration), state_dict=dict(w=torch.ones(300)), optimizer={}, message_hub={})
    content.update(changes)
    torch.save({name: part for name, part in content.items() if part is not None}, path)
    return path


@pytest.fixture
def work_dir(tmp_path: Path) -> Path:
    folder = tmp_path / "run"
    folder.mkdir()
    for iteration in (3, 9, 12):
        write(folder / f"iter_{iteration}.pth", iteration)
    (folder / "last_checkpoint").write_text(str(folder / "iter_12.pth"))
    return folder


def half(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip_a_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[content.index(b"\x00\x00\x80\x3f" * 50) + 10] ^= 1
    path.write_bytes(bytes(content))


@pytest.mark.parametrize("named", ["iter_12.pth", "elsewhere/iter_12.pth", "/another/run/iter_12.pth", "iter_12.pth\n"])
def test_the_named_one_is_looked_for_in_this_folder_by_its_name(work_dir, named) -> None:
    (work_dir / "last_checkpoint").write_text(named)
    assert find_resumable(work_dir)[0] == work_dir / "iter_12.pth"


def test_an_older_one_can_be_named(work_dir) -> None:
    (work_dir / "last_checkpoint").write_text("iter_9.pth")
    assert find_resumable(work_dir)[0] == work_dir / "iter_9.pth"


@pytest.mark.parametrize("pointer", [None, "", "iter_99.pth", "\x00\xff"], ids=["missing", "empty", "gone", "garbage"])
def test_without_a_good_pointer_the_furthest_one_is_taken(work_dir, pointer) -> None:
    (work_dir / "last_checkpoint").unlink()
    if pointer is not None:
        (work_dir / "last_checkpoint").write_text(pointer)
    found, sentence = find_resumable(work_dir)
    assert found == work_dir / "iter_12.pth"
    assert str(found) in sentence


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (half, "is cut short"),
        (flip_a_bit, "is damaged"),
        (Path.unlink, "is gone"),
        (lambda path: path.write_text("<html>"), "is cut short or no checkpoint"),
        (lambda path: write(path, 12, optimizer=None), "has no optimizer"),
    ],
    ids=["half", "bit", "deleted", "html", "weights"],
)
def test_the_next_whole_one_takes_the_place_of_one_that_is_not(work_dir, damage, reason) -> None:
    damage(work_dir / "iter_12.pth")
    found, sentence = find_resumable(work_dir)
    assert found == work_dir / "iter_9.pth"
    assert f"iter_12.pth {reason}" in sentence


def test_a_copied_or_renamed_folder_uses_its_own_files(work_dir, tmp_path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(work_dir, copy)
    assert find_resumable(copy)[0] == copy / "iter_12.pth"
    half(copy / "iter_12.pth")  # the original's is still whole
    assert find_resumable(copy)[0] == copy / "iter_9.pth"


def test_nothing_whole_is_refused_with_the_list_and_the_reasons(work_dir) -> None:
    for path in work_dir.glob("iter_*.pth"):
        half(path)
    write(work_dir / "best_mIoU_iter_9.pth", 9, optimizer=None)
    with pytest.raises(ValueError, match=r"no checkpoint in .* to go on from") as caught:
        find_resumable(work_dir)
    for name in (
        "iter_3.pth is cut",
        "iter_9.pth is cut",
        "iter_12.pth is cut",
        "best_mIoU_iter_9.pth has no optimizer",
    ):
        assert name in str(caught.value)


def test_a_pointer_alone_is_refused_and_an_empty_folder_starts_anew(tmp_path) -> None:
    found, sentence = find_resumable(tmp_path)
    assert found is None
    assert "starts anew" in sentence
    (tmp_path / "last_checkpoint").write_text("iter_8.pth")
    with pytest.raises(ValueError, match=r"iter_8\.pth is gone"):
        find_resumable(tmp_path)


def test_epochs_and_iterations_are_compared_by_what_they_hold(tmp_path) -> None:
    for name, iteration in (("epoch_9.pth", 90), ("iter_95.pth", 95), ("epoch_8.pth", 80)):
        write(tmp_path / name, iteration)
    (tmp_path / "iter_none.pth").write_text("not ours")
    assert [path.name for path in list_checkpoints(tmp_path)] == ["iter_95.pth", "epoch_9.pth", "epoch_8.pth"]


def test_names_of_a_template_are_known(tmp_path) -> None:
    write(tmp_path / "step+7.ckpt", 7)
    assert list_checkpoints(tmp_path) == []
    assert find_resumable(tmp_path, template="step+{}.ckpt")[0] == tmp_path / "step+7.ckpt"


def test_code_in_a_checkpoint_is_not_run(tmp_path) -> None:
    class Shout:
        def __reduce__(self):
            return Path.touch, (tmp_path / "ran",)

    torch.save(dict(meta=dict(iter=1), state_dict={}, optimizer=Shout(), message_hub={}), tmp_path / "iter_1.pth")
    assert "cannot be read" in str(why_not_resumable(tmp_path / "iter_1.pth"))
    assert not (tmp_path / "ran").exists()


def test_the_folder_of_the_hook(tmp_path) -> None:
    assert checkpoint_folder(tmp_path) == tmp_path
    assert checkpoint_folder("work_dirs/x/", "/fast") == Path("/fast/x")


@settings(max_examples=100, deadline=None, derandomize=True, database=None)
@given(st.data())
def test_a_damaged_file_never_passes_for_whole(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    """Overwritten and cut anywhere: refused in one line, or what was saved."""
    path = tmp_path_factory.getbasetemp() / "iter_3.pth"
    whole = bytearray(write(path, 3).read_bytes())
    start = data.draw(st.integers(0, len(whole) - 1), label="start")
    patch = data.draw(st.binary(min_size=1, max_size=64) | st.just(bytes(64)), label="patch")
    whole[start : start + data.draw(st.sampled_from([len(patch), 0, 64]), label="cut")] = patch
    path.write_bytes(whole)
    reason = why_not_resumable(path)
    if reason is None:
        content = torch.load(path, weights_only=True)
        assert content["meta"] == dict(iter=3)
        assert torch.equal(content["state_dict"]["w"], torch.ones(300))
    else:
        assert "\n" not in reason
