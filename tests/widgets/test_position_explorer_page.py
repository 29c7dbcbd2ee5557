"""The position explorer on a page without a kernel, in a real browser: hands, keys, numbers, looks, speed."""

import re

import pytest
import torch
from playwright.sync_api import Page, expect

from detr_tutorial.position import SinePositionEncoding
from detr_tutorial.widgets import PositionExplorer
from tests.widgets.pages import (
    STYLES,
    assert_ids_differ,
    assert_no_jump,
    assert_quick,
    assert_stays,
    assert_wheel_scrolls,
    axe_violations,
    drag_by_finger,
    finger,
)

SIZE, FEATURES = (6, 9), 16


@pytest.fixture(scope="session")
def html() -> str:
    image = torch.rand(3, 120, 180, generator=torch.Generator().manual_seed(0))
    return PositionExplorer(image, SIZE, FEATURES)._repr_html_()


def marker(page: Page):
    return page.get_by_role("slider", name=re.compile("^Chosen cell"))


def cell_of(page: Page) -> list[int]:
    found = re.match(r"row (\d+), column (\d+)", marker(page).get_attribute("aria-valuetext") or "")
    assert found
    return [int(found[1]), int(found[2])]


def center(page: Page, row: int, column: int) -> tuple[float, float]:
    box = page.locator(".poe-stage").bounding_box()
    assert box
    return box["x"] + (column + 0.5) / SIZE[1] * box["width"], box["y"] + (row + 0.5) / SIZE[0] * box[
        "height"
    ]


def encoding(temperature: float) -> torch.Tensor:
    encode = SinePositionEncoding(FEATURES, temperature)
    return encode(torch.zeros(1, *SIZE, dtype=torch.bool), torch.float64)[0]


def status(page: Page) -> str:
    return (page.locator(".poe-status").text_content() or "").replace("−", "-")


def test_the_similarity_is_there_at_once_and_is_that_of_torch(open_page, html):
    page = open_page(html)
    assert cell_of(page) == [3, 4]
    code = encoding(10000.0)
    alike = torch.einsum("c,chw->hw", code[:, 3, 4], code) / FEATURES
    assert f"Next in its row: {alike[3, 5]:.3f}." in status(page)
    assert f"Least alike: {alike.min():.3f}, at" in status(page)
    assert f"Mean of all: {alike.mean():.3f}." in status(page)


def test_a_click_chooses_a_cell_and_keys_move_it(open_page, html):
    page = open_page(html)
    page.mouse.click(*center(page, 1, 7))
    assert cell_of(page) == [1, 7]
    for key, cell in [
        ("ArrowLeft", [1, 6]),
        ("ArrowUp", [0, 6]),
        ("ArrowUp", [0, 6]),
        ("ArrowDown", [1, 6]),
        ("ArrowRight", [1, 7]),
    ]:
        page.keyboard.press(key)
        assert cell_of(page) == cell
    assert page.evaluate("scrollY") == 0


def test_the_marker_can_be_dragged_and_stays_on_the_map(open_page, html):
    page = open_page(html)
    page.mouse.move(*center(page, 3, 4))
    page.mouse.down()
    page.mouse.move(*center(page, 5, 2), steps=5)
    assert cell_of(page) == [5, 2]
    page.mouse.move(*center(page, -9, 40), steps=5)
    page.mouse.up()
    assert cell_of(page) == [0, 8]


def test_the_temperature_changes_the_numbers(open_page, html):
    page = open_page(html)
    slider = page.get_by_role("slider", name="Temperature T")
    assert slider.get_attribute("aria-valuetext") == "10000"
    slider.fill("13")
    assert slider.get_attribute("aria-valuetext") == "20"
    code = encoding(10**1.3)
    alike = torch.einsum("c,chw->hw", code[:, 3, 4], code) / FEATURES
    assert f"Next in its row: {alike[3, 5]:.3f}." in status(page)


def test_one_channel_is_shown_with_its_arithmetic(open_page, html):
    page = open_page(html)
    page.get_by_role("slider", name="Channel").fill("19")  # x half, pair 1, cosine
    number = encoding(10000.0)[19, 3, 4].item()
    assert "Channel 19 = cos(x / 3.16) = cos(3.142 / 3.16)" in status(page)
    assert f"= {number:.3f}. One wave: 3.16 pictures." in status(page)
    expect(page.get_by_role("radio", name="one channel")).to_be_checked()
    page.get_by_role("radio", name="similarity").check(force=True)
    assert "Next in its row" in status(page)
    page.get_by_role("radio", name="one channel").check(force=True)
    assert "Channel 19" in status(page)


def test_a_click_on_a_bar_shows_its_channel(open_page, html):
    page = open_page(html)
    box = page.locator(".poe-bars").bounding_box()
    assert box
    page.mouse.click(box["x"] + box["width"] * 2.5 / (2 * FEATURES), box["y"] + 20)
    assert "Channel 2 = sin(y / 3.16)" in status(page)


def test_what_changed_is_told_to_screen_readers(open_page, html):
    page = open_page(html)
    marker(page).press("ArrowRight")
    expect(page.get_by_role("status")).to_contain_text("Cell (3, 5).", timeout=3000)


def test_a_finger_taps_and_drags_the_marker_but_elsewhere_scrolls_the_page(open_page, html):
    page = open_page(html, width=360, has_touch=True, is_mobile=True)
    assert page.locator(".poe-marker").evaluate("e => getComputedStyle(e).touchAction") == "none"
    assert page.locator(".poe-stage").evaluate("e => getComputedStyle(e).touchAction") != "none"
    page.locator(".poe-stage").scroll_into_view_if_needed()
    page.touchscreen.tap(*center(page, 1, 1))
    assert cell_of(page) == [1, 1]
    touch = finger(page)
    scrolled = page.evaluate("scrollY")
    start, end = center(page, 1, 1), center(page, 4, 6)
    drag_by_finger(touch, start, end)
    assert cell_of(page) == [4, 6]
    assert page.evaluate("scrollY") == scrolled
    x, y = center(page, 1, 1)
    drag_by_finger(touch, (x, y), (x, y - 120), steps=10)
    page.wait_for_function("before => scrollY > before", arg=scrolled)
    assert cell_of(page) == [4, 6]


def test_the_wheel_over_the_widget_scrolls_the_page(open_page, html):
    page = open_page(html)
    assert_wheel_scrolls(page, center(page, 2, 2))


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("width", [320, 360, 480, 640, 800, 1200])
def test_the_page_does_not_jump_when_the_widget_wakes_up(open_page, html, width, style):
    assert_no_jump(open_page, html, width, style)


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("width", [320, 360, 480, 640, 800])
def test_the_page_stays_in_place_and_in_its_width_while_the_reader_plays(open_page, html, width, style):
    page = open_page(html, width=width, style=STYLES[style])
    assert_stays(
        page,
        """
        for (const key of ["ArrowLeft", "ArrowUp", "ArrowLeft", "ArrowDown", "ArrowDown"]) {
            press(one(".poe-marker"), key);
            note();
        }
        for (const slider of all(".dw-slider input")) {
            for (let value = 0; value <= Number(slider.max); value += 1) {
                slide(slider, value);
                note();
            }
        }
        """,
    )
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_without_scripts_map_and_bars_are_there(open_page, html):
    page = open_page(html, scripts=False)
    expect(page.locator(".poe-cell")).to_have_count(SIZE[0] * SIZE[1])
    expect(page.locator(".poe-bars rect")).to_have_count(2 * FEATURES)
    expect(page.locator(".poe-status")).to_contain_text("Cell (3, 4)")


@pytest.mark.parametrize(("theme", "width"), [("light", 800), ("dark", 800), ("light", 360), ("dark", 360)])
def test_axe_finds_nothing(open_page, html, theme, width):
    page = open_page(html, theme=theme, width=width, style=STYLES["book"])
    assert axe_violations(page) == []
    page.get_by_role("slider", name="Channel").fill("5")
    assert axe_violations(page) == []


def test_with_a_kernel_the_photograph_comes_in_the_state(open_page, html):
    picture = PositionExplorer(torch.zeros(3, 120, 180), SIZE, FEATURES).picture
    without = re.sub(r"<image [^>]*/>", "", html)
    assert without != html
    page = open_page(without.replace('"aspect":', f'"picture":"{picture}","aspect":', 1))
    assert page.locator(".poe-stage image").get_attribute("href") == picture


def test_it_begins_with_what_python_has_set(open_page):
    explorer = PositionExplorer(torch.zeros(3, 120, 180), SIZE, FEATURES, cell=(0, 8))
    explorer.channel, explorer.temperature = 3, 20.0
    page = open_page(explorer._repr_html_())
    assert cell_of(page) == [0, 8]
    expect(page.get_by_role("radio", name="one channel")).to_be_checked()
    assert "Channel 3 = cos(y / 1.45)" in status(page)


def test_several_explorers_on_a_page_live_side_by_side(open_page, html):
    page = open_page(html, html)
    page.wait_for_function("document.querySelectorAll('.poe-marker').length === 2")
    assert_ids_differ(page)
    page.locator(".poe-marker").nth(1).press("ArrowRight")
    texts = page.locator(".poe-marker").evaluate_all("all => all.map(m => m.getAttribute('aria-valuetext'))")
    assert texts == ["row 3, column 4", "row 3, column 5"]


@pytest.mark.timing
def test_a_move_is_drawn_within_16_ms(open_page):
    image = torch.rand(3, 120, 180, generator=torch.Generator().manual_seed(0))
    page = open_page(PositionExplorer(image)._repr_html_())  # the size that the book shows
    assert_quick(page, 'press(one(".poe-marker"), arrow);')
