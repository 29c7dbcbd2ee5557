"""The bilinear explorer on a page without a kernel, in a real browser: hands, keys, numbers, looks, speed."""

import re

import pytest
import torch
from playwright.sync_api import Page, expect

from detr_tutorial.widgets import BilinearExplorer
from tests.widgets.pages import (
    STYLES,
    assert_ids_differ,
    assert_no_jump,
    assert_quick,
    assert_wheel_scrolls,
    assert_within,
    axe_violations,
    drag_by_finger,
    finger,
)

MAP = torch.tensor([[5, 4, 4, 3, 3, 4], [5, 4, 2, 1, 2, 3], [6, 5, 3, 2, 2, 4], [7, 6, 5, 4, 4, 5.5]])
START = (1.2, 0.6)  # no printed digit is near a rounding edge


@pytest.fixture(scope="session")
def html() -> str:
    return BilinearExplorer(MAP, START)._repr_html_()


def marker(page: Page):
    return page.get_by_role("slider", name=re.compile("^Point"))


def point_of(page: Page) -> tuple[float, float]:
    text = (marker(page).get_attribute("aria-valuetext") or "").replace("−", "-")
    found = re.match(r"x (\S+), y (\S+), reads", text)
    assert found
    return float(found[1]), float(found[2])


def status(page: Page) -> str:
    return (page.locator(".bix-status").text_content() or "").replace("−", "-")


def on_screen(page: Page, x: float, y: float) -> tuple[float, float]:
    box = page.locator(".bix-stage").bounding_box()
    assert box
    cell = box["width"] / (6 + 2 * 0.9)
    return box["x"] + (x + 0.5 + 0.9) * cell, box["y"] + (y + 0.5 + 0.9) * cell


def expected(x: float, y: float) -> str:
    explorer = BilinearExplorer(MAP, (x, y))
    slope = ", ".join(f"{number + 0.0:.2f}" for number in explorer.slope())
    return f"(x, y) = ({x:.3f}, {y:.3f}) reads {explorer.reading():.3f}. Slope ({slope})"


def test_reading_and_slope_are_there_at_once_and_are_those_of_torch(open_page, html):
    page = open_page(html)
    assert point_of(page) == START
    assert expected(*START) in status(page)


def test_the_table_shows_the_arithmetic(open_page, html):
    page = open_page(html)
    rows = page.locator(".bix-table tr").all_text_contents()
    assert rows[1:] == [
        "(0, 1)4.00.3201.280",
        "(0, 2)4.00.0800.320",
        "(1, 1)4.00.4801.920",
        "(1, 2)2.00.1200.240",
        "reading1.0003.760",
    ]


def test_keys_move_the_point_by_an_eighth_or_by_a_cell(open_page, html):
    page = open_page(html)
    marker(page).focus()
    for key, place in [
        ("ArrowRight", (1.325, 0.6)),
        ("ArrowDown", (1.325, 0.725)),
        ("ArrowLeft", (1.2, 0.725)),
        ("Shift+ArrowRight", (2.2, 0.725)),
        ("ArrowUp", (2.2, 0.6)),
        ("Shift+ArrowUp", (2.2, -0.4)),
    ]:
        page.keyboard.press(key)
        assert point_of(page) == place
        assert expected(*place) in status(page)
    assert page.evaluate("scrollY") == 0


def test_on_a_center_the_kink_is_named(open_page):
    page = open_page(BilinearExplorer(MAP, (2.0, 1.0))._repr_html_())
    assert "On a center, the slope jumps" in status(page)
    assert expected(2.0, 1.0) in status(page)
    marker(page).press("ArrowRight")
    assert "In line with centers, the slope jumps" in status(page)


def test_the_point_is_dragged_and_stays_near_the_map(open_page, html):
    page = open_page(html)
    page.mouse.move(*on_screen(page, *START))
    page.mouse.down()
    page.mouse.move(*on_screen(page, 3.5, 2.25), steps=5)
    x, y = point_of(page)
    assert abs(x - 3.5) < 0.02
    assert abs(y - 2.25) < 0.02
    page.mouse.move(2, 2, steps=3)
    page.mouse.up()
    assert point_of(page) == (-1.3, -1.3)
    assert "reads 0.000" in status(page)
    assert "Flat: nothing pulls the point." in status(page)
    assert page.locator(".bix-table th", has_text="outside").count() == 4


def test_a_click_puts_the_point_there(open_page, html):
    page = open_page(html)
    page.mouse.click(*on_screen(page, 4.25, 1.5))
    x, y = point_of(page)
    assert abs(x - 4.25) < 0.02
    assert abs(y - 1.5) < 0.02
    page.keyboard.press("ArrowLeft")
    assert abs(point_of(page)[0] - 4.125) < 0.02


def test_steps_downhill_lead_to_the_smallest_cell_and_reset_leads_back(open_page, html):
    page = open_page(html)
    down = page.get_by_role("button", name="Step downhill")
    readings = []
    for _ in range(25):
        down.click()
        readings.append(float(re.findall(r"reads (\S+)\. ", status(page))[0]))
    assert readings[0] > readings[5] > readings[-1]
    assert readings[-1] < 1.5
    page.get_by_role("button", name="Reset").click()
    assert point_of(page) == START


def test_what_changed_is_told_to_screen_readers(open_page, html):
    page = open_page(html)
    marker(page).press("ArrowRight")
    expect(page.get_by_role("status")).to_contain_text("(x, y) = (1.325, 0.600) reads", timeout=3000)


def test_a_finger_drags_the_point_but_elsewhere_scrolls_the_page(open_page, html):
    page = open_page(html, width=360, has_touch=True, is_mobile=True)
    page.locator(".bix-stage").scroll_into_view_if_needed()
    touch = finger(page)
    scrolled = page.evaluate("scrollY")
    start, end = on_screen(page, *START), on_screen(page, 3.5, 2.5)
    drag_by_finger(touch, start, end)
    x, y = point_of(page)
    assert abs(x - 3.5) < 0.1
    assert abs(y - 2.5) < 0.1
    assert page.evaluate("scrollY") == scrolled
    x, y = on_screen(page, 0, 3)
    drag_by_finger(touch, (x, y), (x, y - 120), steps=10)
    page.wait_for_function("before => scrollY > before", arg=scrolled)


def test_the_wheel_over_the_widget_scrolls_the_page(open_page, html):
    page = open_page(html)
    assert_wheel_scrolls(page, on_screen(page, 2, 2))


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("width", [320, 360, 480, 640, 800, 1200])
def test_the_page_does_not_jump_when_the_widget_wakes_up(open_page, html, width, style):
    assert_no_jump(open_page, html, width, style)


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("width", [320, 360, 640, 800])
def test_the_page_stays_in_place_and_in_its_width_while_the_reader_plays(open_page, html, width, style):
    page = open_page(html, width=width, style=STYLES[style])
    places = set()
    marker(page).focus()
    for key in ["ArrowRight"] * 6 + ["ArrowDown"] * 3 + ["Shift+ArrowLeft"] * 5 + ["Shift+ArrowUp"] * 3:
        page.keyboard.press(key)
        box = page.locator("#after").bounding_box()
        assert box
        places.add(round(box["y"] + page.evaluate("scrollY")))
    assert len(places) == 1, places
    assert_within(page, width, ".bix .dw-body")


def test_without_scripts_map_and_table_are_there(open_page, html):
    page = open_page(html, scripts=False)
    expect(page.locator(".bix-cell")).to_have_count(24)
    expect(page.locator(".bix-table tbody tr")).to_have_count(4)
    expect(page.locator(".bix-status")).to_contain_text("reads 3.760")


@pytest.mark.parametrize(("theme", "width"), [("light", 800), ("dark", 800), ("light", 360), ("dark", 360)])
def test_axe_finds_nothing(open_page, html, theme, width):
    page = open_page(html, theme=theme, width=width, style=STYLES["book"])
    assert axe_violations(page) == []
    marker(page).press("Shift+ArrowLeft")
    assert axe_violations(page) == []


def test_several_explorers_on_a_page_live_side_by_side(open_page, html):
    page = open_page(html, html)
    expect(page.locator(".bix-marker")).to_have_count(2)
    assert_ids_differ(page)
    page.locator(".bix-marker").nth(1).press("ArrowRight")
    texts = page.locator(".bix-status").all_text_contents()
    assert texts[0] != texts[1]


@pytest.mark.timing
def test_a_move_is_drawn_within_16_ms(open_page, html):
    page = open_page(html)
    assert_quick(page, 'press(one(".bix-marker"), arrow);')
