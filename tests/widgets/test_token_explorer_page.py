"""The token explorer on a page without a kernel, in a real browser: hands, keys, numbers, looks, speed."""

import re

import pytest
import torch
from playwright.sync_api import Page, expect

from detr_tutorial.running_example import running_example
from detr_tutorial.widgets import TokenExplorer
from tests.widgets.pages import (
    STYLES,
    assert_ids_differ,
    assert_no_jump,
    assert_quick,
    assert_stays,
    assert_wheel_scrolls,
    assert_within,
    axe_violations,
    drag_by_finger,
    finger,
)

CANVAS, SHAPES = (60, 90), ((8, 12), (4, 6), (2, 3))
START = 96 + 2 * 6 + 3  # level 1, row 2, column 3


def make(token: int = START) -> TokenExplorer:
    image = torch.rand(3, 60, 70, generator=torch.Generator().manual_seed(0))
    return TokenExplorer(image, CANVAS, SHAPES, token)


def of_the_book() -> TokenExplorer:
    """The explorer that the chapter shows."""
    flattened = running_example("flattened").flattened
    assert flattened
    return TokenExplorer(running_example("images").images[1], (264, 328), flattened.spatial_shapes)


@pytest.fixture(scope="session")
def html() -> str:
    return make()._repr_html_()


def marker(page: Page):
    return page.get_by_role("slider", name=re.compile("^Chosen token"))


def token_of(page: Page) -> int:
    return int(marker(page).get_attribute("aria-valuenow") or -1)


def status(page: Page) -> str:
    return page.locator(".toe-status").text_content() or ""


def inside(page: Page, view: str, x: float, y: float) -> tuple[float, float]:
    """The point of the page at these fractions of a view."""
    box = page.locator(view).bounding_box()
    assert box
    return box["x"] + x * box["width"], box["y"] + y * box["height"]


def in_list(page: Page, token: int) -> tuple[float, float]:
    return inside(page, ".toe-list", (token + 0.5) / 126, 0.5)


def test_the_arithmetic_is_there_at_once(open_page, html):
    page = open_page(html)
    assert token_of(page) == START
    assert f"Token {START} = 96 + 2 · 6 + 3: level 1, row 2, column 3." in status(page)
    x1, y1, x2, y2 = make().patch()
    assert f"x {x1:.1f} to {x2:.1f}, y {y1:.1f} to {y2:.1f} pixels. It is photograph." in status(page)


def test_the_mouse_over_the_list_shows_a_token_and_leaving_brings_the_chosen_one_back(open_page, html):
    page = open_page(html)
    page.mouse.move(*in_list(page, 40))
    assert "Token 40 = 0 + 3 · 12 + 4: level 0" in status(page)
    assert token_of(page) == START
    expect(page.locator(".toe-patch.toe-hovered")).to_be_visible()
    page.mouse.move(*inside(page, ".toe-status", 0.5, 0.5))
    assert f"Token {START} =" in status(page)
    expect(page.locator(".toe-patch.toe-hovered")).to_be_hidden()


def test_the_mouse_over_photograph_and_maps_shows_the_token_there(open_page, html):
    page = open_page(html)
    page.mouse.move(*inside(page, ".toe-stage", 5.5 / 6, 0.5 / 4))
    assert "Token 101 =" in status(page)
    assert "It is padding." in status(page)
    page.mouse.move(*inside(page, ".toe-maps", 0.1, 0.1 + 26 / 333))  # in the map of level 0, top left
    assert ": level 0, row " in status(page)
    page.mouse.move(*inside(page, ".toe-zoom", 7.5 / 13, 0.5))
    assert f"Token {START + 1} =" in status(page)


def test_a_click_chooses_in_every_view(open_page, html):
    page = open_page(html)
    page.mouse.click(*in_list(page, 12))
    assert token_of(page) == 12
    expect(page.get_by_role("radio", name="level 0")).to_be_checked()
    page.mouse.click(*inside(page, ".toe-zoom", 8.5 / 13, 0.5))
    assert token_of(page) == 14
    page.mouse.click(*inside(page, ".toe-stage", 2.5 / 12, 6.5 / 8))
    assert token_of(page) == 6 * 12 + 2
    page.mouse.click(*inside(page, ".toe-maps", 0.99, 0.2))  # the map of level 1
    assert 96 <= token_of(page) < 120


def test_keys_move_by_a_cell_and_stay_on_the_map(open_page, html):
    page = open_page(html)
    marker(page).focus()
    for key, token in [
        ("ArrowRight", START + 1),
        ("ArrowDown", START + 7),
        ("ArrowDown", START + 7),
        ("ArrowUp", START + 1),
        ("ArrowLeft", START),
    ]:
        page.keyboard.press(key)
        assert token_of(page) == token
    assert page.evaluate("scrollY") == 0


def test_the_slider_goes_through_the_list_and_over_the_borders_of_levels(open_page, html):
    page = open_page(html)
    slider = page.get_by_role("slider", name="Token", exact=True)
    slider.fill("95")
    assert "level 0, row 7, column 11." in status(page)
    slider.focus()
    page.keyboard.press("ArrowRight")
    assert token_of(page) == 96
    assert slider.get_attribute("aria-valuetext") == "96, level 1, row 0, column 0"


def test_a_level_shows_its_token_at_the_same_place(open_page, html):
    page = open_page(html)
    for level, token in ((2, 120 + 1 * 3 + 1), (0, 7 * 12 + 0), (1, 0)):
        page.get_by_role("radio", name=f"level {level}").check(force=True)
        if level == 2:
            assert token_of(page) == token
        assert f"level {level}" in status(page)


def test_what_is_chosen_is_told_to_screen_readers(open_page, html):
    page = open_page(html)
    marker(page).press("ArrowRight")
    expect(page.get_by_role("status")).to_contain_text(f"Token {START + 1} =", timeout=3000)


def test_a_finger_taps_and_drags_the_marker_but_elsewhere_scrolls_the_page(open_page, html):
    page = open_page(html, width=360, has_touch=True, is_mobile=True)
    assert page.locator(".toe-marker").evaluate("e => getComputedStyle(e).touchAction") == "none"
    for view in (".toe-stage", ".toe-maps", ".toe-list", ".toe-zoom"):
        assert page.locator(view).evaluate("e => getComputedStyle(e).touchAction") != "none"
    page.locator(".toe-stage").scroll_into_view_if_needed()
    page.touchscreen.tap(*inside(page, ".toe-stage", 1.5 / 6, 1.5 / 4))
    assert token_of(page) == 96 + 6 + 1
    touch = finger(page)
    scrolled = page.evaluate("scrollY")
    start, end = (inside(page, ".toe-stage", x / 6, y / 4) for x, y in ((1.5, 1.5), (4.5, 3.5)))
    drag_by_finger(touch, start, end)
    assert token_of(page) == 96 + 3 * 6 + 4
    assert page.evaluate("scrollY") == scrolled
    x, y = inside(page, ".toe-maps", 0.3, 0.5)
    drag_by_finger(touch, (x, y), (x, y - 120), steps=10)
    page.wait_for_function("before => scrollY > before", arg=scrolled)
    assert token_of(page) == 96 + 3 * 6 + 4


def test_the_wheel_over_the_widget_scrolls_the_page(open_page, html):
    page = open_page(html)
    assert_wheel_scrolls(page, inside(page, ".toe-stage", 0.5, 0.5))


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("width", [320, 360, 480, 640, 800, 1200])
def test_the_page_does_not_jump_when_the_widget_wakes_up(open_page, html, width, style):
    assert_no_jump(open_page, html, width, style)


@pytest.mark.parametrize("width", [320, 360, 480, 640, 800])
def test_the_page_stays_in_place_and_in_its_width_while_the_reader_plays(open_page, width):
    explorer = of_the_book()
    page = open_page(explorer._repr_html_(), width=width, style=STYLES["book"])
    assert_stays(
        page,
        """
        const slider = one(".dw-slider input");
        for (let value = 0; value <= Number(slider.max); value += 37) {
            slide(slider, value);
            note();
        }
        """,
    )
    assert_within(page, width, ".toe .dw-body")


def test_without_scripts_the_token_is_shown_in_all_views(open_page, html):
    page = open_page(html, scripts=False)
    for view in (".toe-stage .toe-patch", ".toe-maps .toe-cell", ".toe-list .toe-tick"):
        expect(page.locator(view)).to_have_count(1)
    expect(page.locator(".toe-zoom .toe-number.toe-here")).to_have_text(str(START))
    expect(page.locator(".toe-status")).to_contain_text("row 2, column 3 of level 1")


@pytest.mark.parametrize(("theme", "width"), [("light", 800), ("dark", 800), ("light", 360), ("dark", 360)])
def test_axe_finds_nothing(open_page, html, theme, width):
    page = open_page(html, theme=theme, width=width, style=STYLES["book"])
    assert axe_violations(page) == []


def test_with_a_kernel_the_photograph_comes_in_the_state(open_page, html):
    picture = make().picture
    without = re.sub(r"<image [^>]*/>", "", html)
    assert without != html
    page = open_page(without.replace('"token":', f'"picture":"{picture}","token":', 1))
    assert page.locator(".toe-stage image").get_attribute("href") == picture


def test_several_explorers_on_a_page_live_side_by_side(open_page, html):
    page = open_page(html, html)
    page.wait_for_function("document.querySelectorAll('.toe-marker').length === 2")
    assert_ids_differ(page)
    page.locator(".toe-marker").nth(1).press("ArrowRight")
    tokens = page.locator(".toe-marker").evaluate_all("all => all.map(m => m.getAttribute('aria-valuenow'))")
    assert tokens == [str(START), str(START + 1)]


@pytest.mark.timing
def test_a_move_is_drawn_within_16_ms(open_page):
    explorer = of_the_book()
    page = open_page(explorer._repr_html_())  # the size that the book shows
    assert_quick(page, 'slide(one(".dw-slider input"), step * 30);')
