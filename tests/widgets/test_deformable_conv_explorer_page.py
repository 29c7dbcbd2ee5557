"""The deformable convolution explorer on a page without a kernel, in a real browser."""

import re

import pytest
import torch
from playwright.sync_api import Page, expect

from detr_tutorial.widgets import DeformableConvExplorer
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

IMAGE = torch.rand(3, 80, 120, generator=torch.Generator().manual_seed(0))
COLUMNS = 18
ROWS = 12
PLACE = (7, 5)


def fresh() -> DeformableConvExplorer:
    explorer = DeformableConvExplorer(IMAGE, COLUMNS)
    assert tuple(explorer.place) == PLACE
    return explorer


@pytest.fixture(scope="session")
def html() -> str:
    return fresh()._repr_html_()


def dot(page: Page, index: int):
    return page.get_by_role("slider", name=f"Point {index + 1} of 9")


def place_slider(page: Page):
    return page.get_by_role("slider", name=re.compile("^Place of the kernel"))


def offset_of(page: Page, index: int) -> tuple[float, float]:
    text = (dot(page, index).get_attribute("aria-valuetext") or "").replace("−", "-")
    found = re.fullmatch(r"offset (\S+), (\S+)", text)
    assert found
    return float(found[1]), float(found[2])


def status(page: Page) -> str:
    return (page.locator(".dcx-status").text_content() or "").replace("−", "-")


def answer(page: Page) -> float:
    found = re.search(r"answers (-?[\d.]+)\. ", status(page))
    assert found
    return float(found[1])


def on_screen(page: Page, x: float, y: float) -> tuple[float, float]:
    box = page.locator(".dcx-stage").bounding_box()
    assert box
    cell = box["width"] / COLUMNS
    return box["x"] + (x + 0.5) * cell, box["y"] + (y + 0.5) * cell


def assert_shows(page: Page, explorer: DeformableConvExplorer) -> None:
    x, y = explorer.place
    assert f"At row {y}, column {x} the kernel “{explorer.kernel}” answers" in status(page)
    assert abs(answer(page) - explorer.response()[y, x].item()) < 1e-3


def test_the_ordinary_convolution_is_there_at_once(open_page, html):
    page = open_page(html)
    assert_shows(page, fresh())
    assert "All offsets are 0: an ordinary convolution." in status(page)
    expect(page.get_by_role("radio", name="at rest")).to_be_checked()
    expect(page.get_by_role("radio", name="edge")).to_be_checked()


@pytest.mark.parametrize("name", ["moved", "scaled", "turned"])
@pytest.mark.parametrize("kernel", ["mean", "spot"])
def test_arrangements_and_kernels_answer_as_torch_does(open_page, html, name, kernel):
    page, explorer = open_page(html), fresh()
    page.get_by_role("radio", name=name).check(force=True)
    page.get_by_role("radio", name=kernel).check(force=True)
    explorer.points, explorer.kernel = explorer.arrangements[name], kernel
    assert_shows(page, explorer)
    colors = page.locator(".dcx-answer").evaluate_all("all => all.map(e => e.getAttribute('fill'))")
    assert len(colors) == ROWS * COLUMNS
    assert len(set(colors)) > 20


def test_keys_move_one_point_and_the_whole_kernel(open_page, html):
    page, explorer = open_page(html), fresh()
    for key in ("ArrowRight", "ArrowRight", "Shift+ArrowDown", "ArrowUp"):
        dot(page, 5).press(key)
    assert offset_of(page, 5) == (0.5, 0.75)
    explorer.points = [*explorer.points[:5], [1.5, 0.75], *explorer.points[6:]]
    assert_shows(page, explorer)
    assert "Longest offset: 0.90 cells." in status(page)
    for key in ("ArrowLeft", "Shift+ArrowDown", "ArrowUp"):
        place_slider(page).press(key)
    explorer.place = [6, 8]
    assert_shows(page, explorer)
    assert offset_of(page, 5) == (0.5, 0.75)
    assert page.evaluate("scrollY") == 0


def test_the_point_nearest_to_the_mouse_is_dragged(open_page, html):
    page = open_page(html)
    page.mouse.move(*on_screen(page, PLACE[0] + 1.2, PLACE[1] - 1.1))  # beside point 2, over grips of others
    page.mouse.down()
    page.mouse.move(*on_screen(page, PLACE[0] + 5.2, PLACE[1] - 3.1), steps=5)
    page.mouse.up()
    assert offset_of(page, 2) == pytest.approx((4, -2), abs=0.1)
    assert [offset_of(page, index) for index in (0, 1, 3, 4, 5, 6, 7, 8)] == [(0, 0)] * 8
    assert not page.get_by_role("radio", name="at rest").is_checked()


def test_a_point_stays_within_a_cell_of_the_photograph(open_page, html):
    page = open_page(html)
    page.mouse.move(*on_screen(page, PLACE[0] - 1, PLACE[1] - 1))
    page.mouse.down()
    page.mouse.move(1, 1, steps=4)
    page.mouse.up()
    x, y = offset_of(page, 0)
    assert (x, y) == (-1 - (PLACE[0] - 1), -1 - (PLACE[1] - 1))


def test_a_click_elsewhere_moves_all_points_there(open_page, html):
    page, explorer = open_page(html), fresh()
    page.mouse.click(*on_screen(page, 14, 9))
    explorer.place = [14, 9]
    assert_shows(page, explorer)
    page.keyboard.press("ArrowUp")
    explorer.place = [14, 8]
    assert_shows(page, explorer)


def test_the_table_adds_up_to_the_answer(open_page, html):
    page = open_page(html)
    page.get_by_role("radio", name="scaled").check(force=True)
    texts = [text.replace("−", "-") for text in page.locator(".dcx-table td").all_text_contents()]
    products = [float(weight) * float(read) for weight, read in (text.split(" × ") for text in texts)]
    assert len(products) == 9
    assert sum(products) == pytest.approx(answer(page), abs=0.02)


def test_what_changed_is_told_to_screen_readers(open_page, html):
    page = open_page(html)
    dot(page, 0).press("Shift+ArrowLeft")
    expect(page.get_by_role("status")).to_contain_text("Longest offset: 1.00 cells.", timeout=3000)


def test_a_finger_drags_a_point_but_elsewhere_scrolls_the_page(open_page, html):
    page = open_page(html, width=360, has_touch=True, is_mobile=True)
    page.locator(".dcx-stage").scroll_into_view_if_needed()
    touch = finger(page)
    scrolled = page.evaluate("scrollY")
    start = on_screen(page, PLACE[0] + 1, PLACE[1] + 1)
    end = on_screen(page, PLACE[0] + 4, PLACE[1] + 3)
    drag_by_finger(touch, start, end)
    assert offset_of(page, 8) == pytest.approx((3, 2), abs=0.2)
    assert page.evaluate("scrollY") == scrolled
    x, y = on_screen(page, 1, 10)
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

    def note() -> None:
        box = page.locator("#after").bounding_box()
        assert box
        places.add(round(box["y"] + page.evaluate("scrollY")))

    for name in ("mean", "spot", "edge", "moved", "scaled", "turned"):
        page.get_by_role("radio", name=name).check(force=True)
        note()
    for _ in range(4):
        place_slider(page).press("Shift+ArrowRight")
        dot(page, 8).press("Shift+ArrowLeft")
        note()
    assert len(places) == 1, places
    assert_within(page, width, ".dcx .dw-body")


def test_without_scripts_photograph_points_and_response_are_there(open_page, html):
    page = open_page(html, scripts=False)
    expect(page.locator(".dcx-stage image")).to_be_visible()
    expect(page.locator(".dcx-dot")).to_have_count(9)
    expect(page.locator(".dcx-answer")).to_have_count(ROWS * COLUMNS)


@pytest.mark.parametrize(("theme", "width"), [("light", 800), ("dark", 800), ("light", 360), ("dark", 360)])
def test_axe_finds_nothing(open_page, html, theme, width):
    page = open_page(html, theme=theme, width=width, style=STYLES["book"])
    assert axe_violations(page) == []
    page.get_by_role("radio", name="scaled").check(force=True)
    dot(page, 0).press("ArrowLeft")
    assert axe_violations(page) == []


def test_with_a_kernel_the_photograph_comes_in_the_state(open_page, html):
    picture = fresh().picture
    without = re.sub(r"<image [^>]*/>", "", html)
    assert without != html
    page = open_page(without.replace('"points":', f'"picture":"{picture}","points":', 1))
    assert page.locator(".dcx-stage image").get_attribute("href") == picture


def test_several_explorers_on_a_page_live_side_by_side(open_page, html):
    page = open_page(html, html)
    expect(page.locator(".dcx-dot")).to_have_count(18)
    assert_ids_differ(page)
    page.locator(".dcx").nth(1).get_by_role("radio", name="mean").check(force=True)
    texts = page.locator(".dcx-status").all_text_contents()
    assert "edge" in texts[0]
    assert "mean" in texts[1]


@pytest.mark.timing
def test_a_move_is_drawn_within_16_ms(open_page):
    page = open_page(DeformableConvExplorer(IMAGE)._repr_html_())  # the size that the book shows
    assert_quick(page, 'press(one(".dcx-dot"), arrow);')
