"""The documentation is built as a site without a warning, and needs no other server."""

import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from mkdocs.commands.build import build
from mkdocs.config import load_config

ROOT = Path(__file__).resolve().parents[1]


class Page(HTMLParser):
    """What a page links to, what it loads, and its anchors."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.anchors: set[str] = set()
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attributes}
        self.anchors |= {given[name] for name in ("id", "name") if name in given}
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        elif tag in ("script", "img", "link", "iframe"):
            self.loaded += [given[name] for name in ("src", "href") if name in given]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, as ``make docs`` builds it: a warning is an error (``strict`` in mkdocs.yml)."""
    folder = tmp_path_factory.mktemp("site")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        config = load_config(str(ROOT / "mkdocs.yml"), site_dir=str(folder))
        config.plugins.on_startup(command="build", dirty=False)
        build(config)
    return folder


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[Path, Page]:
    return {path: Page(path) for path in site.rglob("*.html") if path.name != "404.html"}


def test_every_document_has_a_page(site: Path) -> None:
    documents = {path.stem for path in (ROOT / "docs").glob("*.md")} | {"index", "zoo", "paper_map", "security"}
    assert documents <= {path.stem for path in site.glob("*.html")}
    assert {path.parent.name for path in (ROOT / "configs").glob("*/README.md")} == {
        path.stem for path in (site / "configs").glob("*.html")
    }


def test_links_lead_to_pages_and_anchors(site: Path, pages: dict[Path, Page]) -> None:
    broken = []
    for path, page in pages.items():
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            anchor = unquote(parts.fragment)
            if not target.exists() or (anchor and target in pages and anchor not in pages[target].anchors):
                broken.append(f"{path.relative_to(site)}: {link}")
    assert not broken


def test_nothing_is_loaded_from_elsewhere(site: Path, pages: dict[Path, Page]) -> None:
    for path, page in pages.items():
        assert not [address for address in page.loaded if re.match(r"(https?:)?//", address)], path
        for address in page.loaded:
            assert (path.parent / urlsplit(address).path).exists(), f"{path}: {address}"


def test_the_paper_and_the_models_have_their_tables(site: Path) -> None:
    assert "pretrain_coco_row{1,2,3}.py" in (site / "paper_map.html").read_text()
    zoo = (site / "zoo.html").read_text()
    assert all(str(path.relative_to(ROOT)) in zoo for path in ROOT.glob("configs/[!_]*/*.py"))


def test_docstrings_are_pages(site: Path) -> None:
    page = (site / "api/inference.html").read_text()
    assert 'id="densevlm_mm.inference.OpenVocabularyInferencer.set_vocabulary"' in page
    assert "Names to look for: a list" in page
