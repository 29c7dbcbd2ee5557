"""The pages around the chapters, in the built site: what they list, and where their links lead."""

import ast
import re
from pathlib import Path

import nbformat
import pytest

from tests.notebooks.test_chapters_and_modules import TEACHES, is_record

from .conftest import ROOT, SITE

PACKAGE = ROOT / "detr_tutorial"
CHAPTERS = sorted(path.stem for path in (SITE / "notebooks").glob("*.html"))


def html_of(page: str) -> str:
    return (SITE / "book" / f"{page}.html").read_text(encoding="utf-8")


def cells_of(chapter: str) -> list[nbformat.NotebookNode]:
    """Return the code cells that the page of a chapter shows."""
    notebook = nbformat.read(ROOT / "notebooks" / f"{chapter}.ipynb", as_version=4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code" and cell.source.strip()]
    return [cell for cell in code if "remove-cell" not in cell.metadata.get("tags", [])]


def test_there_are_chapters():
    assert len(CHAPTERS) >= 9


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_every_code_cell_can_be_linked_to(chapter):
    page = (SITE / "notebooks" / f"{chapter}.html").read_text(encoding="utf-8")
    for cell in cells_of(chapter):
        assert page.count(f'id="{cell.id}"') == 1, cell.id


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_the_list_of_solutions_has_every_solution(chapter):
    page = html_of("solutions")
    for cell in cells_of(chapter):
        if "solution" in cell.metadata.get("tags", []):
            assert page.count(f'href="../notebooks/{chapter}.html#{cell.id}"') == 1, cell.id


def test_a_link_to_a_solution_opens_its_fold(visit):
    here = visit()
    here.open("book/solutions.html")
    link = here.page.locator("main a", has_text="solution").last
    target = link.get_attribute("href").split("#")[1]
    link.click()
    here.page.wait_for_url(f"**#{target}")
    fold = here.page.locator(f"#{target} > details")
    assert fold.evaluate("(fold) => fold.open")
    assert fold.locator("pre").first.is_visible()


def definitions_of(module: str) -> list[ast.FunctionDef | ast.ClassDef]:
    file = PACKAGE / f"{module}.py"
    body = ast.parse(file.read_text(encoding="utf-8")).body if file.exists() else []
    return [
        node
        for node in body
        if isinstance(node, ast.FunctionDef | ast.ClassDef)
        and not node.name.startswith("_")
        and ast.get_docstring(node)
    ]


@pytest.mark.parametrize("module", sorted({module for modules in TEACHES.values() for module in modules}))
def test_the_reference_has_every_function_and_its_chapter(module):
    page = html_of("api")
    entries = re.split(r'<dt class="sig', page)
    name = f"detr_tutorial.{module.replace('/', '.')}"
    for node in definitions_of(module):
        (entry,) = (text for text in entries if f'id="{name}.{node.name}"' in text.split("</dt>")[0])
        if not is_record(node) and "notebooks/" in (ast.get_docstring(node) or ""):
            below = page[page.index(entry) :].split("taught in", 1)[-1] if "taught in" not in entry else entry
            assert re.search(r"chapter \d\d", below), node.name


def test_shapes_stand_in_the_signatures():
    entry = html_of("api").split('id="detr_tutorial.padding.resize_mask"')[1].split("</dt>")[0]
    text = re.sub(r"<[^>]*>", "", entry).replace("&#39;", "'")
    assert "mask: Bool[Tensor, 'B H W']" in text
    assert "Bool[Tensor, 'B h w']" in text


def test_a_test_is_shown_as_the_sentence_that_it_is():
    assert re.search(r"<em>the start is the official star</em>", html_of("map"))


def test_no_page_shows_a_role_that_was_not_understood():
    for page in Path(SITE / "book").glob("*.html"):
        assert not re.search(r"\{(chapter|cell|test|py:obj)\}", page.read_text(encoding="utf-8")), page.name


# The front page, and the ends of the chapters


WATCH_SHIFTS = """
    window.shift = 0;
    new PerformanceObserver((list) => {
        for (const entry of list.getEntries()) window.shift += entry.value;
    }).observe({ type: "layout-shift", buffered: true });
"""


@pytest.mark.parametrize("width", [360, 1280])
def test_the_front_page_begins_with_a_live_explorer_that_moves_nothing_when_it_comes(visit, width):
    here = visit(width=width)
    here.context.add_init_script(WATCH_SHIFTS)
    page = here.open("book/index.html")
    explorer = page.locator("main figure .detr-widget")
    assert explorer.count() == 1
    assert explorer.bounding_box()["y"] < page.locator("main h2").first.bounding_box()["y"]
    second = explorer.get_by_role("radio", name=re.compile("^1 ")).first
    second.wait_for(state="attached")
    before = explorer.inner_text()
    second.check()
    page.wait_for_function("(text) => document.querySelector('.detr-widget').innerText !== text", arg=before)
    assert page.evaluate("shift") < 0.01
    assert here.console == []


def test_the_explorer_of_the_front_page_is_a_picture_where_scripts_are_off(browser, site_address):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{site_address}/book/index.html")
    picture = page.locator("main figure .detr-widget svg[role=img], main figure .detr-widget img").first
    assert picture.is_visible()
    assert len(picture.get_attribute("aria-label") or picture.get_attribute("alt") or "") > 20
    context.close()


FOLLOWING = [*CHAPTERS[1:], None]


@pytest.mark.parametrize(("chapter", "following"), list(zip(CHAPTERS, FOLLOWING, strict=True)))
def test_a_chapter_ends_with_what_comes_next_and_with_the_way_to_its_solutions(chapter, following):
    page = (SITE / "notebooks" / f"{chapter}.html").read_text(encoding="utf-8")
    text, turn = page.split('<nav class="turn"')
    assert 'href="../book/solutions.html"' in text[-2000:]
    assert 'rel="next"' in turn
    if following is None:  # after the last chapter, the pages to look things up
        assert re.search(r'href="\.\./book/\w+\.html"', turn)
    else:
        assert f'href="{following}.html"' in turn
        last_section = text[text.rindex("<h2") :]
        assert f'href="{following}.html"' in last_section, "the last words of the chapter do not lead on"
