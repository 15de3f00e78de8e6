from pathlib import Path

import pytest

from densevlm_mm.models.text.cache_folder import Memo, cache_folder


@pytest.fixture(autouse=True)
def _home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("DENSEVLM_MM_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)


def test_what_is_chosen_counts_before_the_environment_and_that_before_the_default(monkeypatch, tmp_path) -> None:
    assert cache_folder() == tmp_path / "home/.cache/densevlm_mm/class_embeddings"
    monkeypatch.setenv("XDG_CACHE_HOME", "/xdg")
    assert cache_folder() == Path("/xdg/densevlm_mm/class_embeddings")
    monkeypatch.setenv("DENSEVLM_MM_CACHE", "/scratch/cache")
    assert cache_folder() == Path("/scratch/cache/class_embeddings")
    assert cache_folder("/chosen") == Path("/chosen")
    monkeypatch.setenv("DENSEVLM_MM_CACHE", "")
    assert cache_folder() == Path("/xdg/densevlm_mm/class_embeddings")


def test_paths_are_absolute(monkeypatch, tmp_path) -> None:
    assert cache_folder("here/../there") == tmp_path / "there"
    assert cache_folder("~/mine") == tmp_path / "home/mine"
    monkeypatch.setenv("DENSEVLM_MM_CACHE", "relative")
    assert cache_folder() == tmp_path / "relative/class_embeddings"
    monkeypatch.setenv("DENSEVLM_MM_CACHE", "~/cache")
    assert cache_folder() == tmp_path / "home/cache/class_embeddings"


def test_a_memo_keeps_entries_from_process_to_process(tmp_path) -> None:
    Memo(tmp_path / "new/memo.json").set("a", {"x": 1})
    Memo(tmp_path / "new/memo.json").set("b", {"y": 2})
    memo = Memo(tmp_path / "new/memo.json")
    assert (memo.get("a"), memo.get("b"), memo.get("c")) == ({"x": 1}, {"y": 2}, {})
