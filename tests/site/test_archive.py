"""The site in a folder: packed by tools/archive.py, unpacked, opened as files, with the network off."""

import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tools.archive import NAME, make_archive

from .conftest import SITE, Visit, pages_of

LOAD_IMAGES = """async () => {
    for (const image of document.images) image.loading = "eager";
    const loaded = [...document.images].filter((image) => !image.complete).map(
        (image) => new Promise((done) => (image.onload = image.onerror = done))
    );
    await Promise.all(loaded);
    return [...document.images].filter((image) => !image.naturalWidth).map((image) => image.src);
}"""
BROKEN_FONTS = """document.fonts.ready.then(
    (fonts) => [...fonts].filter((font) => font.status === "error").map((font) => font.family)
)"""


@pytest.fixture(scope="module")
def book(tmp_path_factory) -> Path:
    """The unpacked archive."""
    folder = tmp_path_factory.mktemp("reader")
    make_archive(SITE, folder / "book.zip")
    with zipfile.ZipFile(folder / "book.zip") as archive:
        archive.extractall(folder)
    return folder / NAME


@pytest.fixture
def reader(browser, book) -> Iterator[Visit]:
    visit = Visit(browser, book.as_uri())
    visit.context.set_offline(True)
    yield visit
    visit.context.close()
    assert visit.console == []
    assert visit.strangers == []


def test_the_same_site_gives_the_same_archive(tmp_path):
    site = tmp_path / "site"
    for name in ("index.html", "book/b.html", ".buildinfo"):
        (site / name).parent.mkdir(parents=True, exist_ok=True)
        (site / name).write_text(name, encoding="utf-8")
    assert make_archive(site, tmp_path / "one.zip") == 2
    (site / "book/b.html").touch()
    make_archive(site, tmp_path / "two.zip")
    assert (tmp_path / "one.zip").read_bytes() == (tmp_path / "two.zip").read_bytes()
    assert zipfile.ZipFile(tmp_path / "one.zip").namelist() == [f"{NAME}/book/b.html", f"{NAME}/index.html"]


def test_every_page_opens_from_a_folder_without_a_word_in_the_console(reader, book):
    pages = pages_of(book)
    assert pages == pages_of(SITE)
    for path in pages:
        page = reader.open(path)
        assert page.locator("h1").count() == 1, path
        font = page.evaluate("getComputedStyle(document.body).fontFamily")
        assert font.startswith("system-ui"), f"{path} has no style"
        assert page.evaluate(LOAD_IMAGES) == [], path
        assert page.evaluate(BROKEN_FONTS) == [], path


def test_from_a_folder_one_can_turn_pages_move_a_widget_search_and_change_the_theme(reader):
    page = reader.open("index.html")
    page.locator(".chapters a", has_text="Grid-sample attention").click()
    page.wait_for_url("**/12_grid_sample_attention.html")
    page.locator(".turn .previous").click()
    page.wait_for_url("**/11_sampling_offsets.html")

    page.locator(".theme-button").click()
    assert page.locator("html").get_attribute("data-theme") == "dark"

    widget = page.locator(".detr-widget")
    assert widget.get_attribute("data-alive") is None, "the script waits until the widget is near"
    widget.scroll_into_view_if_needed()
    page.wait_for_selector(".detr-widget[data-alive] [role=slider], .detr-widget[data-alive] input")
    before = widget.inner_text()
    widget.locator("input[type=radio]").nth(2).check(force=True)
    assert widget.inner_text() != before

    page.locator(".top input[name=q]").fill("align_corners")
    page.keyboard.press("Enter")
    page.wait_for_selector("#search-results li a")
    page.locator("#search-results li a", has_text="Notation").first.click()
    page.wait_for_url("**/notation.html*")
    assert page.locator("html").get_attribute("data-theme") == "dark", "the choice is kept"
