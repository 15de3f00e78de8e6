import os
from pathlib import Path

import pytest

from densevlm_mm.datasets.annotations.image_names import join_image_path, unsafe_reason


@pytest.mark.parametrize("name", ["1.jpg", "a/b/1.jpg", "a..b.jpg", "..a/1.jpg", "a/...jpg", "Zürich 1.jpg"])
def test_names_below_the_folder_are_joined(name: str) -> None:
    assert unsafe_reason(name) is None
    assert join_image_path("data/img", name, "file a.json") == f"data/img/{name}"
    assert join_image_path("", name, "file a.json") == name


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("../1.jpg", "leads out"),
        ("a/../../1.jpg", "leads out"),
        ("a/..", "leads out"),
        ("a\\..\\..\\1.jpg", "leads out"),
        ("/etc/passwd", "absolute"),
        ("\\\\server\\1.jpg", "absolute"),
        ("C:\\1.jpg", "absolute"),
        ("~/1.jpg", "absolute"),
        ("http://host/1.jpg", "address"),
        ("file:///etc/passwd", "address"),
        ("s3://bucket/1.jpg", "address"),
        ("a\x00.jpg", "null character"),
        (" ", "empty"),
    ],
)
def test_names_that_lead_elsewhere_are_refused_with_file_and_name(name: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason) as error:
        join_image_path("data/img", name, "file a.json")
    assert "file a.json" in str(error.value)
    assert repr(name) in str(error.value)


def test_roots_can_be_allowed(tmp_path: Path) -> None:
    prefix, other = str(tmp_path / "img"), str(tmp_path / "other")
    for name in (f"{other}/a/1.jpg", "../other/1.jpg", f"{other}/../other/1.jpg"):
        path = join_image_path(prefix, name, "file a.json", [other])
        assert os.path.dirname(path).startswith(other)
    for name in (
        "/etc/passwd",
        "../../etc/passwd",
        f"{other}/../../etc/passwd",
        f"{other}2/1.jpg",
        "http://host/1.jpg",
    ):
        with pytest.raises(ValueError, match="allowed_roots"):
            join_image_path(prefix, name, "file a.json", [other])


def test_links_that_the_owner_of_the_disk_made_may_lead_anywhere(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "1.jpg").touch()
    (tmp_path / "img").symlink_to(tmp_path / "elsewhere")
    assert os.path.exists(join_image_path(str(tmp_path / "img"), "1.jpg", "file a.json"))
