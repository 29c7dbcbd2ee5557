"""The few things that react: the theme, the menu, the folds, copying, searching."""

import pytest

from .conftest import SITE, pages_of

FRONT = "book/index.html"


def some_chapter() -> str:
    return next(page for page in pages_of(SITE) if page.startswith("notebooks/"))


def ground(page) -> str:
    return page.evaluate("getComputedStyle(document.body).backgroundColor")


@pytest.mark.parametrize(("system", "other"), [("light", "dark"), ("dark", "light")])
def test_the_theme_follows_the_system_until_the_reader_chooses(visit, system, other):
    here = visit(theme=system)
    page = here.open(FRONT)
    root = page.locator("html")
    assert root.get_attribute("data-theme") == system
    before = ground(page)
    page.locator(".theme-button").click()
    assert root.get_attribute("data-theme") == other
    assert ground(page) != before
    page = here.open("book/notation.html")
    assert page.locator("html").get_attribute("data-theme") == other, "the choice is kept on the next page"


def test_the_theme_button_works_from_the_keyboard_and_says_its_state(visit):
    page = visit().open(FRONT)
    button = page.locator(".theme-button")
    assert button.get_attribute("aria-pressed") == "false"
    button.focus()
    page.keyboard.press("Enter")
    assert button.get_attribute("aria-pressed") == "true"


def test_search_finds_a_word_of_the_notation_page(visit):
    here = visit()
    page = here.open(FRONT)
    page.locator(".top input[name=q]").fill("align_corners")
    page.keyboard.press("Enter")
    page.wait_for_selector("#search-results li a")
    page.wait_for_load_state("networkidle")
    found = page.locator("#search-results li a").evaluate_all("(links) => links.map((link) => link.href)")
    assert any("notation.html" in link for link in found)
    page.locator("#search-results li a").first.click()
    page.wait_for_load_state("networkidle")
    assert here.console == []


def test_search_results_fit_on_a_phone(visit):
    page = visit(width=360).open("search.html?q=level")
    page.wait_for_selector("#search-results li a")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_search_says_so_when_nothing_is_found(visit):
    page = visit().open("search.html?q=zzyzxq")
    page.wait_for_selector("#search-results .search-summary:not(:empty)")
    assert "did not match" in page.locator("#search-results").inner_text()


def test_the_menu_opens_and_closes_on_a_phone(visit):
    page = visit(width=360).open(FRONT)
    menu, chapters = page.locator(".menu-button"), page.locator(".chapters")
    assert not chapters.is_visible()
    menu.click()
    assert chapters.is_visible()
    assert menu.get_attribute("aria-expanded") == "true"
    page.keyboard.press("Escape")
    assert not chapters.is_visible()
    assert menu.evaluate("(button) => button === document.activeElement")


def test_code_can_be_copied(visit):
    here = visit()
    here.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page = here.open(some_chapter())
    block = page.locator(".cell_input div.highlight:visible").first
    block.hover()
    block.locator(".copy").click()
    page.wait_for_function("document.querySelector('.copy') !== null")
    copied = page.evaluate("navigator.clipboard.readText()")
    assert copied == block.locator("pre").inner_text().rstrip()


def test_a_fold_opens_from_the_keyboard(visit):
    page = visit().open(some_chapter())
    fold = page.locator("details").first
    fold.locator("summary").first.focus()
    page.keyboard.press("Enter")
    assert fold.evaluate("(details) => details.open")


def test_a_solution_is_folded_and_says_what_it_is(visit):
    page = visit().open(some_chapter())
    solutions = page.locator("details.solution")
    assert solutions.count() >= 3
    for solution in solutions.all():
        assert solution.locator("summary").first.inner_text() == "Solution"
        assert not solution.evaluate("(details) => details.open")


def test_pages_read_without_scripts(browser, site_address):
    context = browser.new_context(java_script_enabled=False, color_scheme="dark")
    page = context.new_page()
    page.goto(f"{site_address}/{some_chapter()}")
    assert page.locator("main h1").is_visible()
    assert page.locator(".chapters a").count() > 3
    context.close()


def test_a_chapter_tells_what_its_run_cost(visit):
    page = visit().open(some_chapter())
    assert "s to run" in page.locator(".cost").inner_text()


def test_the_entry_page_leads_to_the_front_page(visit):
    here = visit()
    page = here.open("index.html")
    page.wait_for_url("**/book/index.html")
    assert page.locator("h1").is_visible()
