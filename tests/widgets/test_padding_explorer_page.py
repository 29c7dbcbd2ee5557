"""The padding explorer on a page without a kernel, in a real browser: hands, keys, numbers, looks, speed."""

import re

import pytest
import torch
from playwright.sync_api import Page, expect

from detr_tutorial.padding import pad_images, resize_mask, valid_ratios
from detr_tutorial.widgets import PaddingExplorer
from detr_tutorial.widgets.padding_explorer import map_size
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

SIZES = [[219, 328], [264, 206]]


@pytest.fixture(scope="session")
def html() -> str:
    generator = torch.Generator().manual_seed(0)
    images = [torch.rand(3, *size, generator=generator) for size in SIZES]
    return PaddingExplorer(images, max_side=400)._repr_html_()  # one pixel is one unit of the drawing


def handle(page: Page, index: int = 0):
    return page.get_by_role("slider", name=re.compile(f"^Corner of picture {index}"))


def size_of(page: Page, index: int = 0) -> list[int]:
    found = re.match(r"height (\d+), width (\d+)", handle(page, index).get_attribute("aria-valuetext") or "")
    assert found
    return [int(found[1]), int(found[2])]


def center(page: Page, index: int = 0) -> tuple[float, float]:
    box = page.locator(".pde-ring").nth(index).bounding_box()
    assert box
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def pixels_a_unit(page: Page) -> float:
    box = page.locator(".pde-stage").first.bounding_box()
    assert box
    return box["width"] / 444


def choose(page: Page, name: str) -> None:
    page.get_by_role("radio", name=name, exact=True).check(force=True)


def row(page: Page, index: int) -> list[str]:
    return page.locator(".pde-table tbody tr").nth(index).locator("td").all_text_contents()


def test_the_batch_is_there_at_once(open_page, html):
    page = open_page(html)
    assert [size_of(page, index) for index in (0, 1)] == SIZES
    expect(page.locator(".pde-status")).to_contain_text("Canvas: 264 × 328 pixels. 27.1 % of the batch")
    assert row(page, 0)[:3] == ["width", "0", "45"]
    assert row(page, 1)[:3] == ["height", "122", "0"]


def test_dragging_a_corner_changes_the_size_and_the_padding_of_both(open_page, html):
    page = open_page(html)
    x, y = center(page)
    unit = pixels_a_unit(page)
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x - 100 * unit, y + 80 * unit, steps=5)
    page.mouse.up()
    height, width = size_of(page)
    assert abs(height - 299) <= 2
    assert abs(width - 228) <= 2
    assert size_of(page, 1) == SIZES[1]
    assert row(page, 0)[:3] == ["both", "0", "0"]
    assert row(page, 1)[:3] == ["–", str(width - 206), str(height - 264)]
    new_x, new_y = center(page)
    assert abs(new_x - (x - 100 * unit)) < 2
    assert abs(new_y - (y + 80 * unit)) < 2


def test_a_corner_cannot_leave_the_field(open_page, html):
    page = open_page(html)
    for step, size in ((2000, [400, 400]), (-3000, [1, 1])):
        x, y = center(page)
        page.mouse.move(x, y)
        page.mouse.down()
        page.mouse.move(x + step, y + step, steps=3)
        page.mouse.up()
        assert size_of(page) == size


def test_arrow_keys_change_the_size(open_page, html):
    page = open_page(html)
    handle(page).focus()
    for key, size in [
        ("ArrowRight", [219, 336]),
        ("ArrowDown", [227, 336]),
        ("Shift+ArrowLeft", [227, 335]),
        ("Shift+ArrowUp", [226, 335]),
        ("ArrowUp", [218, 335]),
    ]:
        page.keyboard.press(key)
        assert size_of(page) == size
    assert page.evaluate("scrollY") == 0
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.getAttribute('aria-label')").startswith(
        "Corner of picture 1"
    )


@pytest.mark.parametrize("stride", [8, 16, 32, 64])
def test_cells_and_ratios_are_those_of_torch(open_page, html, stride):
    page = open_page(html)
    choose(page, f"stride {stride}")
    for _ in range(3):
        handle(page, 1).press("ArrowLeft")
    sizes = [size_of(page, index) for index in (0, 1)]
    mask = pad_images([torch.zeros(3, *size) for size in sizes]).mask
    small = resize_mask(mask, map_size((mask.shape[1], mask.shape[2]), stride))
    ratios = valid_ratios([small])[:, 0]
    expect(page.locator(".pde-status")).to_contain_text(f"{small.shape[1]} × {small.shape[2]} cells")
    for index in range(2):
        cells = [int((~small[index]).any(1).sum()), int((~small[index]).any(0).sum())]
        assert row(page, index)[3:] == [
            f"{cells[0]} × {cells[1]}",
            *(f"{r:.3f}" for r in ratios[index].tolist()),
        ]
        assert page.locator(".pde-mask").nth(index).get_attribute("data-valid") == f"{cells[0]} {cells[1]}"


def test_reset_brings_the_start_back(open_page, html):
    page = open_page(html)
    start = row(page, 0)
    choose(page, "stride 32")
    handle(page).press("ArrowLeft")
    assert row(page, 0) != start
    page.get_by_role("button", name="Reset").click()
    assert row(page, 0) == start
    assert [size_of(page, index) for index in (0, 1)] == SIZES


def test_what_changed_is_told_to_screen_readers(open_page, html):
    page = open_page(html)
    handle(page).press("ArrowRight")
    expect(page.get_by_role("status")).to_contain_text("Canvas: 264 × 336 pixels", timeout=3000)


def test_a_finger_drags_a_corner_but_elsewhere_scrolls_the_page(open_page, html):
    page = open_page(html, width=360, has_touch=True, is_mobile=True)
    assert page.locator(".pde-handle").first.evaluate("e => getComputedStyle(e).touchAction") == "none"
    assert page.locator(".pde-stage").first.evaluate("e => getComputedStyle(e).touchAction") != "none"
    touch = finger(page)
    x, y = center(page)
    start, scrolled = size_of(page), page.evaluate("scrollY")
    drag_by_finger(touch, (x, y), (x - 40, y + 40), steps=5)
    moved = size_of(page)
    assert moved[0] > start[0]
    assert moved[1] < start[1]
    assert page.evaluate("scrollY") == scrolled
    box = page.locator(".pde-stage").first.bounding_box()
    assert box
    drag_by_finger(touch, (box["x"] + 60, box["y"] + 90), (box["x"] + 60, box["y"] + 90 - 120), steps=10)
    page.wait_for_function("before => scrollY > before", arg=scrolled)
    assert size_of(page) == moved


def test_the_wheel_over_the_widget_scrolls_the_page(open_page, html):
    page = open_page(html)
    assert_wheel_scrolls(page, center(page))


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("width", [320, 360, 480, 560, 640, 800, 1200])
def test_the_page_does_not_jump_when_the_widget_wakes_up(open_page, html, width, style):
    assert_no_jump(open_page, html, width, style)


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("width", [320, 360, 480, 640, 800])
def test_the_page_stays_in_place_and_in_its_width_while_the_reader_plays(open_page, html, width, style):
    page = open_page(html, width=width, style=STYLES[style])
    assert_stays(
        page,
        """
        for (const chip of all(".dw-chip input")) {
            chip.click();
            note();
            for (const handle of all(".pde-handle")) {
                for (const key of ["ArrowLeft", "ArrowUp", "ArrowLeft", "ArrowDown", "ArrowDown"]) {
                    press(handle, key);
                    note();
                }
            }
        }
        """,
    )
    assert_within(page, width, ".dw-body")


def test_without_scripts_the_pictures_and_the_table_are_there(open_page, html):
    page = open_page(html, scripts=False)
    expect(page.locator(".pde-stage image")).to_have_count(2)
    expect(page.locator(".pde-table tbody tr")).to_have_count(2)
    expect(page.locator(".pde-status")).to_contain_text("27.1 %")
    expect(page.get_by_role("button", name="Reset")).to_have_count(0)


@pytest.mark.parametrize(("theme", "width"), [("light", 800), ("dark", 800), ("light", 360), ("dark", 360)])
def test_axe_finds_nothing(open_page, html, theme, width):
    page = open_page(html, theme=theme, width=width, style=STYLES["book"])
    assert axe_violations(page) == []
    choose(page, "stride 32")
    handle(page).press("ArrowDown")
    assert axe_violations(page) == []


def test_several_explorers_on_a_page_live_side_by_side(open_page, html):
    page = open_page(html, html)
    page.wait_for_function("document.querySelectorAll('.pde-handle').length === 4")
    assert_ids_differ(page)
    page.locator(".pde-handle").nth(2).press("ArrowRight")
    texts = page.locator(".pde-handle").evaluate_all("all => all.map(h => h.getAttribute('aria-valuetext'))")
    assert texts == [f"height {h}, width {w}" for h, w in [*SIZES, [219, 336], SIZES[1]]]


@pytest.mark.timing
def test_a_pointer_move_is_drawn_within_16_ms(open_page, html):
    page = open_page(html)
    choose(page, "stride 8")
    take_hold = 'const move = drag(one(".pde-handle"), one(".pde-stage"), 0.4);'
    assert_quick(page, "move(step);", before=take_hold)
