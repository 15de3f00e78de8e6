import os
from pathlib import Path

import pytest

from densevlm_mm.inference.image_listing import list_images


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in (
        "day/cam1/1.jpg",
        "day/cam2/1.jpg",
        "day/cam2/deep/2.PNG",
        "day/notes.txt",
        "night/cam1/1.jpg",
        "night/cam1/3.png",
        "3.jpg",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    return tmp_path


@pytest.mark.parametrize(
    ("items", "names"),
    [
        (["day"], ["cam1/1.jpg", "cam2/1.jpg", "cam2/deep/2.PNG"]),
        (["day/"], ["cam1/1.jpg", "cam2/1.jpg", "cam2/deep/2.PNG"]),
        (["day/cam2", "day/cam1"], ["cam2/1.jpg", "cam2/deep/2.PNG", "cam1/1.jpg"]),
        (["day/cam1", "night/cam1"], ["day/cam1/1.jpg", "night/cam1/1.jpg", "night/cam1/3.png"]),
        (["3.jpg"], ["3.jpg"]),
        (["3.jpg", "day/cam1/1.jpg"], ["3.jpg", "1.jpg"]),
        (["day/cam1/1.jpg", "day/cam2/1.jpg"], ["cam1/1.jpg", "cam2/1.jpg"]),
        (["day/cam1/1.jpg", "night/cam1/1.jpg"], ["day/cam1/1.jpg", "night/cam1/1.jpg"]),
        (["3.jpg", "./3.jpg", "day/../3.jpg"], ["3.jpg"]),
        (["3.jpg", "night/cam1/3.png"], ["3.jpg", "3.png"]),
        (["day/cam2/1.jpg", "day/cam2"], ["1.jpg", "cam2/deep/2.PNG"]),
    ],
)
def test_names_are_as_short_as_tells_the_items_apart(folder: Path, items: list[str], names: list[str]) -> None:
    assert [image["rel_path"] for image in list_images(items, "out")] == names


def test_paths_are_as_the_user_gave_them(folder: Path) -> None:
    assert [image["img_path"] for image in list_images(["day/cam1", "3.jpg"], "out")] == ["day/cam1/1.jpg", "3.jpg"]


def test_results_within_the_folder_are_no_images(folder: Path) -> None:
    (folder / "day/out/pictures").mkdir(parents=True)
    (folder / "day/out/pictures/old.jpg").touch()
    assert not any("old" in image["img_path"] for image in list_images(["day"], "day/out"))


def test_what_only_looks_like_an_image_in_a_folder(folder: Path) -> None:
    (folder / "odd/dir.jpg").mkdir(parents=True)
    (folder / "odd/dir.jpg/a.png").touch()
    os.mkfifo(folder / "odd/pipe.jpg")
    (folder / "odd/link.jpg").symlink_to("nowhere")
    (folder / "odd/loop.jpg").symlink_to("loop.jpg")
    (folder / "odd/._a.png").touch()
    # of which the links and what macOS puts into archives will be reported as unreadable
    expected = ["._a.png", "dir.jpg/a.png", "link.jpg", "loop.jpg"]
    assert [image["rel_path"] for image in list_images(["odd"], "out")] == expected


def test_nothing_to_read_is_an_error(folder: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"nowhere\.jpg"):
        list_images(["day", "nowhere.jpg"], "out")
    (folder / "empty").mkdir()
    with pytest.raises(ValueError, match="no image in empty"):
        list_images(["empty"], "out")
