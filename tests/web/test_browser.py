import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from densevlm_mm.web.photos import PhotoReader
from tests.web.conftest import ServedPage

sync_api = pytest.importorskip("playwright.sync_api", reason="the browser tests need playwright, see setup.py")

PATIENCE = 120_000  # milliseconds
# Without these, Chromium asks its makers for things at every start.
SILENT = ("disable-background-networking", "disable-component-update", "disable-sync", "no-first-run", "disable-quic")


@pytest.fixture(scope="module")
def browser() -> Iterator[sync_api.Browser]:
    """A headless Chromium: the system's, or else playwright's."""
    names = ("chromium", "chromium-browser", "google-chrome")
    system = next(filter(None, map(shutil.which, names)), None)
    with sync_api.sync_playwright() as playwright:
        if system is None and not Path(playwright.chromium.executable_path).exists():
            pytest.skip("no Chromium: tools/dev/install_chromium.sh installs one")
        flags = [f"--{flag}" for flag in (*SILENT, "no-sandbox", "disable-gpu")]
        browser = playwright.chromium.launch(executable_path=system, args=flags)
        yield browser
        browser.close()


class Tab:
    """The page as a visitor has it in a tab."""

    def __init__(self, browser: sync_api.Browser, address: str) -> None:
        self.page = browser.new_page(viewport=dict(width=1280, height=900), accept_downloads=True)
        self.page.set_default_timeout(PATIENCE)
        self.hosts: set[str | None] = set()
        self.page.on("request", lambda request: self.hosts.add(urlsplit(request.url).hostname))
        self.page.goto(address)
        self.expect_maps("boat")

    def expect_maps(self, *words: str) -> None:
        """Wait until both galleries begin with maps of these words."""
        for gallery in (0, 1):
            captions = self.page.locator(".grid-wrap").nth(gallery).locator(".caption-label")
            for number, word in enumerate(words):
                pattern = re.compile(rf"^\s*{word} -?0\.\d\d…-?0\.\d\d\s*$")
                sync_api.expect(captions.nth(number)).to_have_text(pattern, timeout=PATIENCE)

    def type_words(self, things: str, stuff: str) -> None:
        self.page.get_by_label("Things").fill(things)
        self.page.get_by_label("Stuff").fill(stuff)
        self.page.get_by_role("button", name="Look", exact=True).click()

    def upload(self, path: Path) -> None:
        self.page.get_by_label("Remove Image").or_(self.page.get_by_label("Clear")).first.click()
        self.page.locator("#photo input[type=file]").set_input_files(str(path))

    def open(self, view: str) -> None:
        self.page.get_by_role("tab", name=view).click()

    def expect_text(self, pattern: str) -> None:
        found = self.page.get_by_text(re.compile(pattern)).locator("visible=true").first
        sync_api.expect(found).to_be_visible(timeout=PATIENCE)


@pytest.fixture
def tab(browser: sync_api.Browser, served: ServedPage) -> Iterator[Tab]:
    tab = Tab(browser, served.address)
    yield tab
    assert tab.hosts <= {"127.0.0.1", None}  # None: data: and blob:
    tab.page.close()


def test_a_visitor_uploads_types_clicks_and_downloads(
    tab: Tab, reader: PhotoReader, noise: Path, tmp_path: Path
) -> None:
    tab.type_words("kite, plane", "sky, sea")
    tab.expect_maps("kite", "plane", "sky", "sea")
    tab.open("Bias")
    tab.expect_text("of 36 cells a thing. Of the .* that show only stuff")
    tab.upload(noise)
    tab.expect_text("nobody annotated this photograph")
    tab.open("Segments")
    tab.expect_text(r"(kite|plane|sky|sea) \d+ %")
    tab.open("Region")
    picture = tab.page.locator("#region img")
    picture.click(position=dict(x=200, y=200))
    tab.expect_text(r"A: tiny_scenes_student: .* B: tiny_scenes_teacher: ")
    numbers = tab.page.get_by_label("x, y or x1, y1, x2, y2 in pixels")
    sync_api.expect(numbers).to_have_value(re.compile(r"^[\d.]+, [\d.]+$"))
    x, y = map(float, numbers.input_value().split(", "))
    area = picture.bounding_box()
    assert area is not None
    scale = 80 / area["width"]  # the picture fills the width that it has
    assert x == pytest.approx(200 * scale, abs=1)
    assert y == pytest.approx(24 + (200 - area["height"] / 2) * scale, abs=1)
    tab.page.get_by_label("a box (two clicks)").check()
    picture.click(position=dict(x=250, y=220))
    tab.expect_text("Now click the opposite corner")
    picture.click(position=dict(x=150, y=150))
    sync_api.expect(numbers).to_have_value(re.compile(r"^[\d.]+(, [\d.]+){3}$"), timeout=PATIENCE)
    tab.page.get_by_role("button", name="Collect all results").click()
    with tab.page.expect_download() as download:
        tab.page.get_by_role("button", name="Download noise.zip").click()
    download.value.save_as(tmp_path / "noise.zip")
    assert (tmp_path / "noise.zip").read_bytes().startswith(b"PK")


def test_wrong_words_regions_and_files_are_said_and_do_no_harm(tab: Tab, reader: PhotoReader, tmp_path: Path) -> None:
    tab.type_words("sky", "")
    tab.expect_text("Type at least two words")
    tab.type_words("boat", "sky, Sky")
    tab.expect_text("“Sky” is there twice")
    tab.type_words("boat", "sky")
    tab.expect_maps("boat", "sky")
    tab.open("Region")
    numbers = tab.page.get_by_label("x, y or x1, y1, x2, y2 in pixels")
    numbers.fill("here")
    numbers.press("Enter")
    tab.expect_text("A point is two numbers")
    numbers.fill("9000, 1")
    numbers.press("Enter")
    tab.expect_text("outside of the photograph")
    (tmp_path / "broken.jpg").write_bytes(reader.examples[0].read_bytes()[:2000])
    tab.upload(tmp_path / "broken.jpg")
    tab.expect_text(r"This file cannot be shown. broken\.jpg")
    tab.upload(reader.examples[2])
    tab.open("Bias")
    tab.expect_text("that show only stuff")


def test_two_tabs_know_nothing_of_each_other(
    tab: Tab, browser: sync_api.Browser, served: ServedPage, noise: Path
) -> None:
    other = Tab(browser, served.address)
    tab.type_words("umbrella", "grass")
    other.type_words("clock", "road")
    other.upload(noise)
    tab.expect_maps("umbrella", "grass")
    other.expect_maps("clock", "road")
    other.open("Bias")
    other.expect_text("nobody annotated this photograph")
    tab.open("Bias")
    tab.expect_text("that show only stuff")
    other.page.close()


def test_on_a_phone_nothing_is_wider_than_the_screen(tab: Tab) -> None:
    tab.page.set_viewport_size(dict(width=390, height=844))
    for view in ("Similarity", "Segments", "Region", "Bias"):
        tab.open(view)
        assert tab.page.evaluate("document.documentElement.scrollWidth") <= 390, view
