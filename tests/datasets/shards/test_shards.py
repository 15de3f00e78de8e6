"""Indexing, packing and reading of tar shards."""

import copy
import http.server
import json
import pickle
import shutil
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pytest

from densevlm_mm.datasets import UnlabeledImageDataset
from densevlm_mm.datasets.image_files import UnreadableImageError
from densevlm_mm.datasets.shards import ShardFiles, ShardIndex, index_shards, pack_images
from tests.fixtures.shards import encoded, write_shards, write_tar


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_shards(tmp_path / "sa1b", [3, 2, 4])
    index_shards([str(tmp_path / "sa1b" / "sa_{000000..000002}.tar")], tmp_path / "sa1b" / "shards.json")
    return tmp_path / "sa1b"


def contents(folder: Path, index: ShardIndex) -> list[bytes]:
    files = ShardFiles(str(folder), num_open=1)
    sizes = [int(index.file_sizes[index.place(number)[0]]) for number in range(len(index))]
    return [files.read(index.member(number), size) for number, size in enumerate(sizes)]


def test_every_image_is_found_where_it_is(folder: Path) -> None:
    index = ShardIndex(folder / "shards.json")
    assert index.lengths.tolist() == [3, 2, 4]
    assert [index.member(number).path for number in (0, 3, 8)] == [
        "sa_000000.tar/sa_0.png", "sa_000001.tar/sa_3.png", "sa_000002.tar/sa_8.png",
    ]  # fmt: skip
    assert contents(folder, index) == [encoded(grey) for grey in range(9)]
    with pytest.raises(IndexError):
        index.member(9)


def test_a_part_of_the_shards_in_any_order(folder: Path) -> None:
    index = ShardIndex(folder / "shards.json", "sa_{000002,000000}.tar")
    assert index.names == ["sa_000002.tar", "sa_000000.tar"]
    assert contents(folder, index) == [encoded(grey) for grey in (5, 6, 7, 8, 0, 1, 2)]
    with pytest.raises(ValueError, match=r"not sa_000003\.tar and 6 more of sa_{000000\.\.000009}\.tar"):
        ShardIndex(folder / "shards.json", "sa_{000000..000009}.tar")


def test_copies_do_not_hold_the_table(folder: Path) -> None:
    index = ShardIndex(folder / "shards.json")
    for twin in (copy.deepcopy(index), pickle.loads(pickle.dumps(index))):
        assert twin.member(5) == index.member(5)
        assert len(pickle.dumps(twin)) < 500


def test_long_and_foreign_names(tmp_path: Path) -> None:
    name = "ordner/" + "ü" * 120 + "/a.b.JPG"
    write_tar(tmp_path / "a.tar", {name: encoded(7, ".jpg")})
    index_shards([str(tmp_path / "*.tar")], tmp_path / "shards.json")
    index = ShardIndex(tmp_path / "shards.json")
    assert index.member(0).name == name
    assert contents(tmp_path, index) == [encoded(7, ".jpg")]


def test_shards_that_cannot_be_indexed_are_named(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "a.tar", {f"{n}.png": encoded(n) * 9 for n in range(3)})
    index = partial(index_shards, [str(path)], tmp_path / "shards.json")
    whole = path.read_bytes()
    path.write_bytes(whole[:1500])
    with pytest.raises(ValueError, match=r"the shard .*a\.tar is no whole, uncompressed tar file"):
        index()
    write_tar(path, {"notes.txt": b"none"})
    with pytest.raises(ValueError, match="no image in 1 shards"):
        index()
    with pytest.raises(FileNotFoundError, match=r"there is no shard .*b\.tar"):
        index_shards([str(tmp_path / "b.tar")], tmp_path / "shards.json")
    assert not list(tmp_path.glob("shards*"))


def test_a_file_that_is_no_index(tmp_path: Path, folder: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"images_to_shards\.py index"):
        ShardIndex(tmp_path / "none.json")
    path = folder / "shards.json"
    listing = json.loads(path.read_text())
    for change in (dict(shardlist=[]), dict(shardlist=[dict(url="a.tar")]), dict(members="none.members")):
        path.write_text(json.dumps({**listing, **change}))
        with pytest.raises(ValueError, match=r"shards\.json"):
            ShardIndex(path)


@pytest.mark.parametrize("name", ["/etc/passwd", "../sa_000000.tar"])
def test_an_index_does_not_lead_out_of_the_folder_of_the_shards(folder: Path, name: str) -> None:
    path = folder / "shards.json"
    path.write_text(path.read_text().replace("sa_000001.tar", name))
    with pytest.raises(ValueError, match=r"shards\.json: the name '.*' (is an absolute path|leads out)"):
        ShardIndex(path)


def test_a_new_index_replaces_the_old_table(folder: Path) -> None:
    index_shards([str(folder / "sa_000001.tar")], folder / "shards.json")
    assert len(ShardIndex(folder / "shards.json")) == 2
    assert len(list(folder.glob("*.members"))) == 1


def test_a_shard_that_has_changed_or_is_cut_short(folder: Path) -> None:
    index = ShardIndex(folder / "shards.json")
    path = folder / "sa_000000.tar"
    path.write_bytes(path.read_bytes() + b"x")
    with pytest.raises(ValueError, match=r"sa_000000\.tar has \d+ bytes and had \d+ when it was indexed"):
        contents(folder, index)
    member = index.member(2)
    path.write_bytes(path.read_bytes()[: member.offset + 1])
    with pytest.raises(UnreadableImageError, match=r"sa_000000\.tar/sa_2\.png: its shard has been cut short"):
        ShardFiles(str(folder)).read(member, member.offset + 1)


def test_packed_images_are_what_they_were(tmp_path: Path) -> None:
    for name in ("b/2.x.png", "a.png", "b/1.png"):
        path = tmp_path / "images" / name
        path.parent.mkdir(exist_ok=True, parents=True)
        cv2.imwrite(str(path), np.full((4, 6, 3), len(name), np.uint8))
    images = UnlabeledImageDataset(str(tmp_path / "images"))
    assert pack_images(images, tmp_path / "out", images_per_shard=2) == (2, 3)
    index = ShardIndex(tmp_path / "out" / "shards.json")
    assert [index.member(number).path for number in range(3)] == [
        "shard_000000.tar/a.png", "shard_000000.tar/b/1.png", "shard_000001.tar/b/2.x.png",
    ]  # fmt: skip
    paths = [Path(images.get_data_info(number)["img_path"]) for number in range(3)]
    assert contents(tmp_path / "out", index) == [path.read_bytes() for path in paths]
    assert index.member(1).mtime == int(paths[1].stat().st_mtime)
    before = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    with pytest.raises(ValueError, match="holds shards already"):
        pack_images(images, tmp_path / "out")
    pack_images(images, tmp_path / "again", images_per_shard=2)
    assert {path.name: path.read_bytes() for path in (tmp_path / "again").iterdir()} == before


@pytest.fixture
def server(folder: Path) -> Iterator[tuple[str, list[str]]]:
    """The folder over HTTP, and what was asked for."""
    asked: list[str] = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            asked.append(self.path)

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(folder))) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}", asked
        running.shutdown()


@pytest.mark.skipif(shutil.which("curl") is None, reason="webdataset fetches with curl")
def test_shards_of_an_address_are_fetched_once(server, folder: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    address, asked = server
    cache = str(tmp_path / "cache")
    index_shards([address + "/sa_{000000..000001}.tar"], tmp_path / "far.json", cache)
    index = ShardIndex(tmp_path / "far.json")
    near = ShardIndex(folder / "shards.json", "sa_{000000..000001}.tar")
    for shown, root in ((index, ""), (near, address)):  # by address, and by the name below an address
        files = ShardFiles(root, cache)
        assert [files.read(shown.member(n), int(shown.file_sizes[n // 3])) for n in range(5)] == [
            encoded(grey) for grey in range(5)
        ]
    assert len(asked) == 2
    with pytest.raises(OSError, match=r"the shard http.*/none\.tar cannot be fetched"):
        ShardFiles(cache_dir=cache).local(f"{address}/none.tar")


def test_addresses_need_a_cache_and_run_nothing() -> None:
    with pytest.raises(ValueError, match="give it as cache_dir"):
        ShardFiles("https://example.org/sa1b")
    for name in ("pipe:touch /tmp/x", "file:///etc/passwd", "pipe://x", "s3://bucket/a.tar"):
        with pytest.raises(ValueError, match="has none of the schemes"):
            ShardFiles(cache_dir="cache").local(name)
