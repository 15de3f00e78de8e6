import socket
import zipfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from huggingface_hub import constants

pytest.importorskip("gradio", reason='the page needs gradio: pip install -e ".[web]"')

from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError

from densevlm_mm.web import TINY_SCENES, serve, server
from densevlm_mm.web.photos import MAX_BYTES, PhotoReader
from tests.web.conftest import ServedPage

WORDS = ("plane, bike", "sky, sea")


@pytest.fixture(scope="module")
def client(served: ServedPage, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    folder = tmp_path_factory.mktemp("downloads")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(constants, "HF_HUB_OFFLINE", True)  # or the client, not the page, asks the hub for something
        yield Client(served.address, verbose=False, analytics_enabled=False, download_files=str(folder))


def test_an_uploaded_photograph_is_looked_at(client: Client, reader: PhotoReader, served: ServedPage) -> None:
    photo = handle_file(str(reader.examples[1]))
    answer = client.predict(photo, *WORDS, 4, api_name="/look")
    maps, segments, grid, sentence = answer[:4]
    assert [each["caption"].split()[0] for each in maps] == ["plane", "bike", "sky", "sea"]
    assert {each["label"].split()[0] for each in segments["value"]["annotations"]} <= {"plane", "bike", "sky", "sea"}
    assert Path(grid).read_bytes().startswith(b"\x89PNG")
    assert "of 16 cells a thing" in sentence
    assert "show only stuff" in sentence  # an example is known again
    said = client.predict(photo, *WORDS, "100, 100", api_name="/name_region")
    assert "A: tiny_scenes_student: **" in said[2]
    archive = client.predict(photo, *WORDS, 4, api_name="/collect")
    with zipfile.ZipFile(archive["value"]) as files:
        assert len(files.namelist()) == 8
    assert served.lookups == []  # all this asked nobody else


def test_errors_reach_the_visitor(client: Client, reader: PhotoReader, tmp_path: Path) -> None:
    (tmp_path / "broken.jpg").write_bytes(reader.examples[0].read_bytes()[:2000])
    for file, words, problem in (
        (tmp_path / "broken.jpg", WORDS, r"This file cannot be shown. broken\.jpg"),
        (reader.examples[0], ("sky", ""), "at least two words"),
    ):
        with pytest.raises(AppError, match=problem):
            client.predict(handle_file(str(file)), *words, 4, api_name="/look")


def test_no_file_outside_of_the_uploads_can_be_read(
    client: Client, served: ServedPage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    secret = tmp_path / ".gradio" / "cached_examples" / "secret.txt"  # where gradio serves files from by default
    secret.parent.mkdir(parents=True)
    secret.write_text("secret")
    for path in (str(secret), "/etc/passwd", TINY_SCENES[0], "setup.py", f"{'../' * 12}etc/passwd", str(tmp_path)):
        answer = httpx.get(f"{served.address}/gradio_api/file={path}")
        assert answer.status_code in (403, 404), path
        assert answer.text != "secret"
    for path in (str(secret), "/etc/passwd"):
        named = dict(path=path, meta=dict(_type="gradio.FileData"))
        with pytest.raises(AppError):
            client.predict(named, *WORDS, 4, api_name="/look")


def test_nothing_is_fetched_from_elsewhere(client: Client, served: ServedPage) -> None:
    address = "https://example.com/photo.jpg"
    for path in (f"file={address}", "file=HTTPS://example.com/a.jpg", f"proxy={address}"):
        assert httpx.get(f"{served.address}/gradio_api/{path}").status_code in (403, 404), path
    for field in ("path", "url"):
        named = {"path": address, field: address, "meta": dict(_type="gradio.FileData")}
        with pytest.raises(AppError):
            client.predict(named, *WORDS, 4, api_name="/look")
    assert served.lookups == []


def test_only_this_machine_is_answered(served: ServedPage) -> None:
    port = urlsplit(served.address).port
    assert urlsplit(served.address).hostname == "127.0.0.1"
    with pytest.raises(ConnectionRefusedError), socket.create_connection(("127.0.0.2", port), timeout=2):
        pass  # every address of 127.0.0.0/8 is this machine: one that listens everywhere would answer
    assert httpx.get(served.address, headers={"Host": f"elsewhere.example:{port}"}).status_code == 400


def test_a_file_that_is_too_large_is_refused(served: ServedPage) -> None:
    answer = httpx.post(f"{served.address}/gradio_api/upload", files={"files": ("a.jpg", bytes(MAX_BYTES + 1))})
    assert answer.status_code == 413


def test_a_wrong_start_is_refused(monkeypatch: pytest.MonkeyPatch, served: ServedPage) -> None:
    with pytest.raises(ValueError, match="one or two encoders, not 3"), serve([TINY_SCENES[0]] * 3):
        pass
    with pytest.raises(FileNotFoundError, match=r"none\.safetensors"), serve(["none.safetensors"]):
        pass
    with pytest.raises(OSError, match="port"), serve(TINY_SCENES[:1], port=urlsplit(served.address).port):
        pass
    monkeypatch.setattr(server, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r'pip install "densevlm_mm\[web\]"'), serve():
        pass
