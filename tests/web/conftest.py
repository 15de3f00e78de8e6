import socket
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import pytest

from densevlm_mm.inference import OpenVocabularyInferencer
from densevlm_mm.web import TINY_SCENES, serve
from densevlm_mm.web.comparison import EncoderComparison
from densevlm_mm.web.photos import Photo, PhotoReader


class ServedPage(NamedTuple):
    """A running page.

    Args:
        address: Where it is.
        lookups: Names and addresses of other machines that this process turned to while it ran.
    """

    address: str
    lookups: list[str]


@pytest.fixture(scope="session")
def reader(tmp_path_factory: pytest.TempPathFactory) -> PhotoReader:
    return PhotoReader(tmp_path_factory.mktemp("examples"))


@pytest.fixture
def photo(reader: PhotoReader) -> Photo:
    return reader.read(reader.examples[0])


@pytest.fixture(scope="session")
def comparison() -> EncoderComparison:
    encoders = zip("AB", TINY_SCENES, strict=True)
    return EncoderComparison(
        {name: OpenVocabularyInferencer(path, vocabulary=["sky", "sea"], device="cpu") for name, path in encoders}
    )


@pytest.fixture(scope="session")
def served() -> Iterator[ServedPage]:
    """The page on the two embedded encoders."""
    pytest.importorskip("gradio", reason='the page needs gradio: pip install -e ".[web]"')
    lookups: list[str] = []
    resolve, connect = socket.getaddrinfo, socket.socket.connect

    def note(host: object) -> None:
        if host not in ("127.0.0.1", "localhost", "::1", None, b"127.0.0.1"):
            lookups.append(str(host))

    def noted_resolve(host, *args, **kwargs):
        note(host)
        return resolve(host, *args, **kwargs)

    def noted_connect(self, address):
        if self.family in (socket.AF_INET, socket.AF_INET6):
            note(address[0])
        return connect(self, address)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket, "getaddrinfo", noted_resolve)
        patch.setattr(socket.socket, "connect", noted_connect)
        with serve(TINY_SCENES, device="cpu") as address:
            yield ServedPage(address.rstrip("/"), lookups)


@pytest.fixture
def noise(tmp_path: Path) -> Path:
    """A photograph that is none of the examples, 80 x 48 pixels."""
    path = tmp_path / "noise.png"
    cv2.imwrite(str(path), np.random.default_rng(0).integers(0, 256, (48, 80, 3), dtype=np.uint8))
    return path
