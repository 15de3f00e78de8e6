import os
from pathlib import Path

from densevlm_mm.datasets.file_listing import missing_files, summarize


def test_missing_files_are_listed_in_order(tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "1.jpg").touch()
    (tmp_path / "2.jpg").touch()
    (tmp_path / "link.jpg").symlink_to(tmp_path / "2.jpg")
    names = ["a/1.jpg", "a/3.jpg", "2.jpg", "link.jpg", "nowhere/1.jpg"]
    paths = [os.path.join(tmp_path, name) for name in names]
    assert missing_files([*paths, "s3://bucket/1.jpg"]) == [paths[1], paths[4]]
    monkeypatch.chdir(tmp_path)
    assert missing_files(names) == ["a/3.jpg", "nowhere/1.jpg"]


def test_many_paths_are_counted() -> None:
    assert summarize(["a", "b"]) == "a, b"
    assert summarize(list("abcde")) == "a, b, c and 2 more"
