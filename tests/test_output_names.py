import itertools
import os
from pathlib import Path

import pytest

from densevlm_mm.output_names import OutputFolder, common_root, flat_name, output_names


@pytest.mark.parametrize(
    ("paths", "names"),
    [
        (["d/cam1/0001.png", "d/cam2/0001.png"], ["cam1/0001", "cam2/0001"]),
        (["d/1.jpg", "d/1.png", "d/2.png"], ["1.jpg", "1.png", "2"]),  # both, whichever comes first
        (["d/1.png", "d/1.jpg"], ["1.png", "1.jpg"]),
        (["d/x", "d/.hidden"], ["x", ".hidden"]),
        (["/elsewhere/1.jpg", "d/1.jpg"], ["elsewhere/1", "1"]),
        (["s3://bucket/a/1.jpg", "s3://bucket/b/1.jpg"], ["s3_/bucket/a/1", "s3_/bucket/b/1"]),
        (["d/船/東.jpg"], ["船/東"]),
    ],
)
def test_names_are_the_paths_below_the_folder(paths: list[str], names: list[str]) -> None:
    assert output_names(paths, "d") == names


def test_names_of_images_here_and_there_are_below_the_folder_that_holds_them_all() -> None:
    assert output_names(["a/x.jpg", "b/x.jpg", "c/x.png", "y.jpg"]) == ["a/x", "b/x", "c/x", "y"]
    assert output_names(["deep/down/x.jpg"]) == ["x"]
    assert output_names(["s3://a/x.jpg", "s3://b/x.jpg"]) == ["s3_/a/x", "s3_/b/x"]


HOSTILE = [
    "a:b.jpg",
    "a_b.jpg",
    "a\\b.jpg",
    "a?b.jpg",
    "a_b.JPG",
    "A_B.jpg",
    "CON.jpg",
    "con.jpg",
    "x. .jpg",
    "x.jpg",
    "x..jpg",
    "é.jpg",
    "e\u0301.jpg",
    "\udce9.jpg",  # a byte that is no UTF-8
    "line\nbreak.jpg",
    "1.jpg",
    "1.png",
    "1.jpg.bmp",
    "1.png/1.jpg",  # a folder called as the picture of 1.jpg
    "1.png_/1.jpg",
    "../../etc/passwd.jpg",
    "deep/" * 500 + "1.jpg",
    "deeq/" * 500 + "1.jpg",
    "n" * 250 + ".jpg",
    "n" * 250 + ".png",
    "n" * 249 + "m.png",
    "船" * 84 + ".jpg",
    "船" * 83 + "舟.jpg",
    ".jpg",
    "~.jpg",
]


@pytest.mark.parametrize("order", [HOSTILE, HOSTILE[::-1]])
def test_hostile_names_become_different_files_inside_the_folder(order: list[str], tmp_path: Path) -> None:
    names = output_names([f"d/{path}" for path in order], "d")
    folder = OutputFolder(tmp_path)
    files = [folder.path(dict(output_name=name), ".png") for name in names]
    for path in files:
        path.parent.mkdir(parents=True, exist_ok=True)
        assert not path.exists()
        path.write_text(str(path))
        path.with_name(f".{path.stem}.01234567.partial.png").touch()  # the name that writers use meanwhile
    assert len({str(path).lower() for path in files}) == len(order)
    for path, part in itertools.product(files, '<>:"|?*\\'):
        assert part not in str(path.relative_to(tmp_path))
    assert all(path.resolve().is_relative_to(tmp_path.resolve()) for path in files)
    assert dict(zip(order, names, strict=True)) == dict(
        zip(HOSTILE, output_names([f"d/{path}" for path in HOSTILE], "d"), strict=True)
    )


def test_an_image_listed_twice_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"a\.jpg is listed twice"):
        output_names(["a.jpg", "b.jpg", "a.jpg"])


@pytest.mark.parametrize("name", ["../x", "/etc/x", "a/../../x", ""])
def test_a_name_cannot_lead_out_of_the_folder(name: str) -> None:
    with pytest.raises(ValueError, match="no relative path below out"):
        OutputFolder("out").path(dict(output_name=name), ".png")


def test_without_a_name_stems_are_used_and_never_twice() -> None:
    folder = OutputFolder("out")
    assert folder.path(dict(img_path="a/1.jpg"), ".png") == Path("out/1.png")
    assert folder.path(dict(img_path="a/1.jpg"), ".png") == Path("out/1.png")  # again, as a sampler pads
    with pytest.raises(ValueError, match=r"a/1\.jpg and b/1\.jpg would both be called '1'.*OutputNameHook"):
        folder.path(dict(img_path="b/1.jpg"), ".png")


def test_common_root_is_the_deepest_folder_of_all(tmp_path: Path) -> None:
    assert common_root([str(tmp_path / "a/b"), str(tmp_path / "a/c")]) == str(tmp_path / "a")
    assert common_root(["."]) == os.getcwd()


def test_flat_names_differ() -> None:
    names = ["a/b", "a_b", "a/b_c", "a_b/c", "c"]
    flat = [flat_name(name) for name in names]
    assert len(set(flat)) == 5
    assert not any("/" in name for name in flat)
    assert flat[-1] == "c"
    assert len(flat_name("x/" * 500)) < 255
