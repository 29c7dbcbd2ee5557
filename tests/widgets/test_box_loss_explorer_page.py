"""The box loss explorer on a page without a kernel, in a real browser: hands, keys, numbers, looks, speed."""

import re

import numpy as np
import pytest
from playwright.sync_api import Page, expect

from detr_tutorial.widgets import BoxLossExplorer
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
from tests.widgets.test_box_loss_explorer import arguments

LOSSES = {"l1": "L1", "iou": "1 − IoU", "giou": "1 − GIoU", "sum": "5 L1 + 2 (1 − GIoU)"}


@pytest.fixture(scope="session")
def html() -> str:
    return BoxLossExplorer(**arguments())._repr_html_()


def grip(page: Page, name: str):
    return page.locator(f'[data-grip="{name}"]')


def numbers_of(page: Page, name: str) -> list[float]:
    """Center (or size) of a box as its handle says it."""
    text = grip(page, name).get_attribute("aria-valuetext") or ""
    return [float(number) for number in re.findall(r"\d\.\d+", text)]


def spot(page: Page, name: str) -> tuple[float, float]:
    box = grip(page, name).locator(":first-child").bounding_box()
    assert box
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def table(page: Page) -> np.ndarray:
    """Value and slopes of each loss, (4, 5)."""
    texts = page.locator(".bx-table tbody td").all_text_contents()
    return np.array([float(text.replace("−", "-")) for text in texts]).reshape(4, 5)


def in_python(page: Page) -> np.ndarray:
    explorer = BoxLossExplorer(**arguments())
    explorer.box = [*numbers_of(page, "box-move"), *numbers_of(page, "box-size")]
    explorer.other = [*numbers_of(page, "other-move"), *numbers_of(page, "other-size")]
    return np.array([[value, *slopes] for value, slopes in explorer.values().values()])


def choose(page: Page, loss: str) -> None:
    page.get_by_role("radio", name=LOSSES[loss], exact=True).check(force=True)


def test_values_and_slopes_are_there_at_once_and_those_of_python(open_page, html):
    page = open_page(html)
    np.testing.assert_allclose(table(page), in_python(page), atol=0.0051)
    expect(page.locator(".bx-status")).to_contain_text("1 − IoU has no slope here")
    assert page.locator(".bx-arrow").get_attribute("d") == ""
    assert page.locator(".bx-flat").get_attribute("d")


@pytest.mark.parametrize(
    ("loss", "says"),
    [
        ("l1", "L1 pulls the prediction right, up, wider, taller."),
        ("giou", "1 − GIoU pulls the prediction right, up, wider, taller."),
        ("sum", "5 L1 + 2 (1 − GIoU) pulls the prediction right, up, wider, taller."),
    ],
)
def test_a_loss_with_a_slope_has_arrows_and_says_where_it_pulls(open_page, html, loss, says):
    page = open_page(html)
    choose(page, loss)
    expect(page.locator(".bx-status")).to_contain_text(says)
    assert (page.locator(".bx-arrow").get_attribute("d") or "").count("M") == 2 * 5  # shaft and head
    rows = page.locator(".bx-table tbody tr")
    chosen = rows.evaluate_all("rows => rows.map(row => row.classList.contains('bx-chosen'))")
    assert chosen == [name == loss for name in LOSSES]


@pytest.mark.parametrize(("name", "other"), [("box", "other"), ("other", "box")])
def test_dragging_a_box_moves_it_and_nothing_else(open_page, html, name, other):
    page = open_page(html)
    before = numbers_of(page, f"{name}-move"), numbers_of(page, f"{other}-move")
    size = numbers_of(page, f"{name}-size")
    x, y = spot(page, f"{name}-move")
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 40, y - 60, steps=5)
    page.mouse.up()
    after = numbers_of(page, f"{name}-move")
    assert after[0] > before[0][0] + 0.05
    assert after[1] < before[0][1] - 0.08
    assert numbers_of(page, f"{other}-move") == before[1]
    assert numbers_of(page, f"{name}-size") == size
    np.testing.assert_allclose(table(page)[:, 0], in_python(page)[:, 0], atol=0.06)


@pytest.mark.parametrize(("name", "toward"), [("box", 1), ("other", -1)])
def test_dragging_a_corner_changes_the_size_and_keeps_the_center(open_page, html, name, toward):
    page = open_page(html)
    center, size = numbers_of(page, f"{name}-move"), numbers_of(page, f"{name}-size")
    x, y = spot(page, f"{name}-size")
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + toward * 20, y + toward * 12, steps=5)
    page.mouse.up()
    assert numbers_of(page, f"{name}-move") == center
    after = numbers_of(page, f"{name}-size")
    assert after[0] > size[0] + 0.04
    assert after[1] > size[1] + 0.02


def test_boxes_stay_in_the_picture_and_keep_a_size(open_page, html):
    page = open_page(html)
    for name, reach in (("box-move", (4000, 4000)), ("box-size", (-4000, -4000))):
        x, y = spot(page, name)
        page.mouse.move(x - 3, y - 3)  # the corner of the box comes to lie on that of the picture
        page.mouse.down()
        page.mouse.move(x + reach[0], y + reach[1], steps=3)
        page.mouse.up()
        assert numbers_of(page, "box-move") == [0.9, 0.88]  # its size is 0.2 x 0.24: the corner is in reach
    assert numbers_of(page, "box-size") == [0.04, 0.04]


def test_arrow_keys_move_and_resize_and_shift_goes_further(open_page, html):
    page = open_page(html)
    grip(page, "box-move").focus()
    for key, wanted in (
        ("ArrowRight", [0.23, 0.68]),
        ("Shift+ArrowUp", [0.23, 0.63]),
        ("ArrowDown", [0.23, 0.64]),
        ("ArrowLeft", [0.22, 0.64]),
    ):
        page.keyboard.press(key)
        assert numbers_of(page, "box-move") == wanted
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.dataset.grip") == "box-size"
    page.keyboard.press("Shift+ArrowRight")
    page.keyboard.press("ArrowUp")
    assert numbers_of(page, "box-size") == [0.25, 0.23]
    assert page.evaluate("scrollY") == 0


def test_steps_along_the_iou_lead_nowhere_and_along_the_sum_to_the_object(open_page, html):
    page = open_page(html)
    button = page.get_by_role("button", name="Step")
    start = numbers_of(page, "box-move")
    for _ in range(3):
        button.press("Enter")
    assert numbers_of(page, "box-move") == start
    choose(page, "sum")
    for _ in range(40):
        button.press("Enter")
    assert table(page)[1, 0] < 0.35
    page.get_by_role("button", name="Reset").click()
    assert numbers_of(page, "box-move") == start


def test_what_changed_is_told_to_screen_readers(open_page, html):
    page = open_page(html)
    choose(page, "giou")
    expect(page.get_by_role("status")).to_contain_text("pulls the prediction right", timeout=3000)


def test_a_finger_drags_a_box_but_elsewhere_scrolls_the_page(open_page, html):
    page = open_page(html, width=360, has_touch=True, is_mobile=True)
    assert grip(page, "box-move").evaluate("e => getComputedStyle(e).touchAction") == "none"
    assert page.locator(".bx-photo").evaluate("e => getComputedStyle(e).touchAction") != "none"
    for name in ("box-move", "other-size"):
        size = grip(page, name).locator(":first-child").bounding_box()
        assert size
        assert size["width"] >= 24
    x, y = spot(page, "box-move")
    touch = finger(page)
    start, scrolled = numbers_of(page, "box-move"), page.evaluate("scrollY")
    drag_by_finger(touch, (x, y), (x + 40, y - 30), steps=5)
    moved = numbers_of(page, "box-move")
    assert moved[0] > start[0] + 0.05
    assert page.evaluate("scrollY") == scrolled
    photo = page.locator(".bx-photo").bounding_box()
    assert photo
    corner = photo["x"] + 8, photo["y"] + photo["height"] - 8
    drag_by_finger(touch, corner, (corner[0], corner[1] - 120), steps=10)
    page.wait_for_function("before => scrollY > before", arg=scrolled)
    assert numbers_of(page, "box-move") == moved


def test_the_wheel_over_the_widget_scrolls_the_page(open_page, html):
    page = open_page(html)
    assert_wheel_scrolls(page, spot(page, "box-move"))


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("width", [320, 360, 440, 520, 600, 660, 750, 900])
def test_the_page_does_not_jump_when_the_widget_wakes_up(open_page, html, width, style):
    assert_no_jump(open_page, html, width, style)


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("width", [320, 360, 480, 620, 700, 800])
def test_the_page_stays_in_place_and_in_its_width_while_the_reader_plays(open_page, html, width, style):
    page = open_page(html, width=width, style=STYLES[style])
    assert_stays(
        page,
        """
        for (const chip of all(".dw-chip input")) {
            chip.click();
            for (const grip of all(".bx-grip")) {
                for (const key of ["ArrowLeft", "ArrowUp", "ArrowRight", "ArrowRight", "ArrowDown"]) {
                    press(grip, key, true);
                    note();
                }
            }
        }
        """,
    )
    assert_within(page, width, ".dw-body > :not(p[role])")


def test_without_scripts_boxes_map_and_table_are_there(open_page, html):
    page = open_page(html, scripts=False)
    expect(page.locator("img.bx-map")).to_be_visible()
    expect(page.locator(".bx-photo .bx-edge")).to_have_count(2)
    expect(page.locator(".bx-table tbody tr")).to_have_count(4)


@pytest.mark.parametrize(("theme", "width"), [("light", 800), ("dark", 800), ("light", 360), ("dark", 360)])
def test_axe_finds_nothing(open_page, html, theme, width):
    page = open_page(html, theme=theme, width=width, style=STYLES["book"])
    assert axe_violations(page) == []
    choose(page, "sum")
    grip(page, "box-move").press("Shift+ArrowRight")
    assert axe_violations(page) == []


def test_it_begins_with_what_python_has_set(open_page):
    explorer = BoxLossExplorer(**arguments())
    explorer.box, explorer.loss = [0.5, 0.5, 0.1, 0.3], "giou"
    page = open_page(explorer._repr_html_())
    assert numbers_of(page, "box-move") == [0.5, 0.5]
    expect(page.get_by_role("radio", name=LOSSES["giou"], exact=True)).to_be_checked()


def test_several_explorers_on_a_page_live_side_by_side(open_page, html):
    page = open_page(html, html)
    page.wait_for_function("document.querySelectorAll('[data-grip=\"box-move\"]').length === 2")
    assert_ids_differ(page)
    page.locator('[data-grip="box-move"]').nth(1).press("ArrowRight")
    texts = page.locator('[data-grip="box-move"]').evaluate_all(
        "all => all.map(grip => grip.getAttribute('aria-valuetext'))"
    )
    assert texts == ["center x 0.22, y 0.68", "center x 0.23, y 0.68"]


@pytest.mark.timing
def test_a_move_is_drawn_within_16_ms(open_page, html):
    page = open_page(html)
    choose(page, "sum")
    assert_quick(page, """press(one('[data-grip="box-move"]'), arrow);""")
