"""Every page on paper, from a PDF that Chromium makes: all there, nothing cut, nothing to press."""

import re

import pypdfium2 as pdfium
import pytest
from pypdfium2.raw import FPDF_PAGEOBJ_IMAGE, FPDF_PAGEOBJ_TEXT

from .conftest import SITE, Visit, pages_of

MARGIN = 15 / 25.4 * 72  # points; book.css leaves 15 mm at the sides
A4_TEXT = round((210 - 2 * 15) / 25.4 * 96)  # pixels
CONTROLS = "button, input, select, nav, header, footer"
READ_PAPER = """(CONTROLS) => {
    const main = document.querySelector("main");
    const seen = (element) => element.checkVisibility({checkVisibilityCSS: true});
    const begins = (elements) => elements.slice(0, 5).map((element) => element.outerHTML.slice(0, 160));
    const all = [...main.querySelectorAll(":not(svg *, .katex-mathml *)")].filter(seen);
    const cut = (element) => element.scrollWidth > element.clientWidth + 1
        && !element.closest(".katex") && getComputedStyle(element).overflowX !== "visible";
    const size = (element) => {
        const {width, height} = element.getBoundingClientRect();
        return Math.min(width, height);
    };
    return {
        // the rim of inline code may reach into the margin
        too_wide: begins(all.filter((element) => element.getBoundingClientRect().right > innerWidth + 4)),
        cut: begins(all.filter(cut)),
        controls: begins([...document.querySelectorAll(CONTROLS)].filter(seen)),
        live: begins([...main.querySelectorAll("[data-detr-widget-body]")].filter(seen)),
        pictures: [...main.querySelectorAll(".widget-picture svg")].filter(seen).map(size),
        widgets: main.querySelectorAll(".detr-widget").length,
        images: [...main.querySelectorAll("img, svg image")].filter(seen).length,
        heading: [...main.querySelectorAll("h2, h3")].pop()?.firstChild.textContent ?? "",
        folded: [...main.querySelectorAll("details > :last-child")].map(
            (element) => element.innerText.trim().split("\\n")[0].slice(0, 40)
        ),
        hidden: begins([...main.querySelectorAll("details > :not(summary)")].filter((e) => !seen(e))),
        ground: getComputedStyle(document.body).backgroundColor,
    };
}"""


def letters(text: str) -> str:
    return re.sub(r"\W", "", text)


def on_paper(visit: Visit, path: str) -> tuple[dict, pdfium.PdfDocument]:
    """Print a page with living widgets, from a dark screen; return what print shows of it, and the PDF."""
    page = visit.open(path)
    for widget in page.locator(".detr-widget").all():
        widget.scroll_into_view_if_needed()
    page.wait_for_function("document.querySelector('.detr-widget:not([data-alive])') === null")
    paper = pdfium.PdfDocument(page.pdf(prefer_css_page_size=True))
    page.emulate_media(media="print")
    page.set_viewport_size({"width": A4_TEXT, "height": 1000})
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    return page.evaluate(READ_PAPER, CONTROLS), paper


@pytest.mark.parametrize(
    "path", [path for path in pages_of(SITE) if path.startswith(("book/", "notebooks/"))]
)
def test_a_page_prints_whole_and_without_controls(visit, path):
    shown, paper = on_paper(visit(theme="dark"), path)
    assert shown["too_wide"] == []
    assert shown["cut"] == []
    assert shown["controls"] == []
    assert shown["hidden"] == []
    assert shown["ground"] == "rgb(255, 255, 255)"
    assert shown["live"] == []
    assert len(shown["pictures"]) >= shown["widgets"]
    assert all(size > 0 for size in shown["pictures"])

    text, images = "", 0
    for sheet in paper:
        text += sheet.get_textpage().get_text_range()
        width = sheet.get_width()
        images += len([*sheet.get_objects(filter=[FPDF_PAGEOBJ_IMAGE])])
        for thing in sheet.get_objects(filter=[FPDF_PAGEOBJ_TEXT, FPDF_PAGEOBJ_IMAGE]):
            left, _, right, _ = thing.get_bounds()
            assert left >= MARGIN - 2, f"{left} of {width} points"
            assert right <= width - MARGIN + 2, f"{right} of {width} points"
    found = letters(text)
    assert letters(shown["heading"]) in found
    for beginning in shown["folded"]:
        assert letters(beginning) in found, beginning
    assert images >= shown["images"]


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_after_printing_the_page_is_as_before(visit, theme):
    page = visit(theme=theme).open("notebooks/01_set_prediction.html")
    page.locator("details").first.locator("summary").click()
    state = "[...document.querySelectorAll('details')].map((fold) => fold.open)"
    before = page.evaluate(state)
    assert set(before) == {True, False}
    page.pdf()
    assert page.evaluate(state) == before
    assert page.locator("html").get_attribute("data-theme") == theme
