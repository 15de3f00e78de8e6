import hashlib
import io
import socket
import zipfile

import pytest

from densevlm_mm.downloads import Download, UnreachableError, fetch
from densevlm_mm.downloads.transfer import fetch_from_hub, fetch_url

CONTENT = bytes(range(256)) * 40


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch) -> None:
    monkeypatch.setattr("densevlm_mm.downloads.transfer.time.sleep", lambda seconds: None)


@pytest.fixture
def closed_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def test_a_file_arrives_with_its_folders(file_server, tmp_path) -> None:
    file_server.files["/a.bin"] = CONTENT
    target = tmp_path / "deep" / "a.bin"
    assert fetch_url(f"{file_server.address}/a.bin", target, len(CONTENT), digest(CONTENT)) == target
    assert target.read_bytes() == CONTENT
    assert list(target.parent.iterdir()) == [target]


def test_a_broken_connection_goes_on_where_it_stopped(file_server, tmp_path) -> None:
    file_server.files["/a.bin"] = CONTENT
    file_server.stop_after = [1000, 500]
    fetch_url(f"{file_server.address}/a.bin", tmp_path / "a.bin", sha256=digest(CONTENT))
    assert (tmp_path / "a.bin").read_bytes() == CONTENT
    assert file_server.ranges() == [None, "bytes=1000-", "bytes=1500-"]


def test_an_interrupted_command_goes_on_where_it_stopped(file_server, tmp_path) -> None:
    file_server.files["/a.bin"] = CONTENT
    file_server.stop_after = [100] * 5
    with pytest.raises(OSError, match=r"goes on at 0\.0 MB"):
        fetch_url(f"{file_server.address}/a.bin", tmp_path / "a.bin")
    assert not (tmp_path / "a.bin").exists()
    fetch_url(f"{file_server.address}/a.bin", tmp_path / "a.bin")
    assert (tmp_path / "a.bin").read_bytes() == CONTENT
    assert file_server.ranges()[-1] == "bytes=500-"


def test_a_server_that_sends_no_parts_starts_again(file_server, tmp_path) -> None:
    file_server.files["/a.bin"] = CONTENT
    file_server.sends_parts = False
    (tmp_path / "a.bin.part").write_bytes(CONTENT[:300])
    fetch_url(f"{file_server.address}/a.bin", tmp_path / "a.bin")
    assert (tmp_path / "a.bin").read_bytes() == CONTENT


@pytest.mark.parametrize("left", [CONTENT, CONTENT + b"other"], ids=["whole", "of another file"])
def test_what_lies_there_may_be_whole_or_too_long(file_server, tmp_path, left) -> None:
    file_server.files["/a.bin"] = CONTENT
    (tmp_path / "a.bin.part").write_bytes(left)
    fetch_url(f"{file_server.address}/a.bin", tmp_path / "a.bin", sha256=digest(CONTENT))
    assert (tmp_path / "a.bin").read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("known", "message"),
    [({"size": 7}, "expected 7 bytes, got 10240"), ({"sha256": "0" * 64}, "expected SHA-256 0000")],
)
def test_another_file_than_the_known_one_is_removed(file_server, tmp_path, known, message) -> None:
    file_server.files["/a.bin"] = CONTENT
    with pytest.raises(ValueError, match=message):
        fetch_url(f"{file_server.address}/a.bin", tmp_path / "a.bin", **known)
    assert list(tmp_path.iterdir()) == []


def test_an_answer_is_not_taken_for_an_unreachable_server(file_server, tmp_path, closed_port) -> None:
    with pytest.raises(OSError, match="the server says 404") as error:
        fetch_url(f"{file_server.address}/none.bin", tmp_path / "a.bin")
    assert not isinstance(error.value, UnreachableError)
    with pytest.raises(UnreachableError, match="refused"):
        fetch_url(f"http://127.0.0.1:{closed_port}/a.bin", tmp_path / "a.bin")


def test_the_hubs_client_fetches_and_the_digest_that_it_states_is_compared(file_server, tmp_path) -> None:
    for revision in ("main", "c0ffee"):
        file_server.files[f"/org/repository/resolve/{revision}/w.pt"] = CONTENT
    target = tmp_path / "weights" / "w.pt"
    fetch_from_hub("org/repository", "w.pt", target, endpoint=file_server.address)
    assert target.read_bytes() == CONTENT
    # Of the commit that was looked at, something else comes than was announced.
    file_server.files["/org/repository/resolve/c0ffee/w.pt"] = CONTENT[::-1]
    with pytest.raises(ValueError, match=r"org/repository/w\.pt is not what it was: expected SHA-256"):
        fetch_from_hub("org/repository", "w.pt", tmp_path / "again" / "w.pt", endpoint=file_server.address)
    assert not (tmp_path / "again" / "w.pt").exists()


def test_a_file_that_the_hub_lacks_and_a_hub_that_is_away(file_server, tmp_path, closed_port) -> None:
    with pytest.raises(OSError, match=r"org/repository/none\.pt: ") as error:
        fetch_from_hub("org/repository", "none.pt", tmp_path / "none.pt", endpoint=file_server.address)
    assert not isinstance(error.value, UnreachableError)
    with pytest.raises(UnreachableError, match=r"org/repository/w\.pt: "):
        fetch_from_hub("org/repository", "w.pt", tmp_path / "w.pt", endpoint=f"http://127.0.0.1:{closed_port}")


def test_entries_of_one_archive_fetch_it_once(file_server, tmp_path) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("annotations/a.json", "{}")
        archive.writestr("images/1.jpg", b"jpeg")
    file_server.files["/all.zip"] = buffer.getvalue()
    url = f"{file_server.address}/all.zip"
    for member, target in ((("annotations/a.json",), "data/a.json"), (("images/",), "data/images")):
        fetch(Download("x", "", "", url=url, member=member), tmp_path / target, tmp_path / "archives")
    assert (tmp_path / "data/a.json").read_text() == "{}"
    assert (tmp_path / "data/images/1.jpg").read_bytes() == b"jpeg"
    assert file_server.ranges() == [None]


def test_what_only_a_person_can_get_is_not_tried(tmp_path) -> None:
    with pytest.raises(ValueError, match="registration"):
        fetch(Download("x", "", "registration at example.org"), tmp_path / "x", tmp_path)
