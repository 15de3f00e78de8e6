import io
import tarfile
import zipfile
from pathlib import Path

import pytest

from densevlm_mm.downloads import unpack


def zipped(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def tarred(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
        link = tarfile.TarInfo("set/link")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    return buffer.getvalue()


FILES = {"set/val/1.png": b"one", "set/val/deep/2.png": b"two", "set/train/3.png": b"three", "set/list.json": b"[]"}


@pytest.fixture(params=[zipped, tarred], ids=["zip", "tar"])
def archive(request, tmp_path) -> Path:
    path = tmp_path / "archive"
    path.write_bytes(request.param(FILES))
    return path


def content(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_folder_is_taken_out_alone(archive, tmp_path) -> None:
    unpack(archive, ["set/val/"], tmp_path / "data" / "val")
    assert content(tmp_path / "data") == {"val/1.png": b"one", "val/deep/2.png": b"two"}


def test_links_are_left_out(archive, tmp_path) -> None:
    unpack(archive, ["set/"], tmp_path / "data")
    assert len(content(tmp_path / "data")) == 4
    assert not list((tmp_path / "data").glob("link"))


def test_a_file_is_taken_out_alone(archive, tmp_path) -> None:
    unpack(archive, ["set/list.json"], tmp_path / "data" / "list.json")
    assert content(tmp_path / "data") == {"list.json": b"[]"}


def test_an_archive_in_the_archive_is_opened(tmp_path) -> None:
    (tmp_path / "outer.zip").write_bytes(zipped({"annotations/inner.zip": zipped(FILES)}))
    unpack(tmp_path / "outer.zip", ["annotations/inner.zip", "set/val/"], tmp_path / "data" / "val")
    assert content(tmp_path / "data") == {"val/1.png": b"one", "val/deep/2.png": b"two"}


def test_a_folder_that_is_there_stays_as_it_is(archive, tmp_path) -> None:
    (tmp_path / "val").mkdir()
    unpack(archive, ["set/val/"], tmp_path / "val")
    assert content(tmp_path / "val") == {}


@pytest.mark.parametrize("member", ["set/none/", "set/none.json"])
def test_a_missing_member_leaves_nothing_behind(archive, tmp_path, member) -> None:
    with pytest.raises(ValueError, match=r"has no .*none"):
        unpack(archive, [member], tmp_path / "data" / "none")
    assert list((tmp_path / "data").iterdir()) == []


def test_a_path_that_leads_out_is_refused(tmp_path) -> None:
    (tmp_path / "a.zip").write_bytes(zipped({"set/1.png": b"", "set/../../../evil": b"x"}))
    with pytest.raises(ValueError, match="leads out of the folder"):
        unpack(tmp_path / "a.zip", ["set/"], tmp_path / "data" / "set")
    assert content(tmp_path / "data") == {}


def test_a_damaged_archive_leaves_nothing_behind(tmp_path) -> None:
    whole = bytearray(zipped({"set/1.png": b"a" * 1000 + bytes(range(256)) * 40}))
    whole[60:80] = b"x" * 20
    (tmp_path / "a.zip").write_bytes(whole)
    with pytest.raises(ValueError, match=r"a\.zip is damaged"):
        unpack(tmp_path / "a.zip", ["set/"], tmp_path / "data" / "set")
    assert list((tmp_path / "data").iterdir()) == []
