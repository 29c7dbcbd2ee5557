"""The matching explorer on a page without a kernel, in a real browser: hands, keys, numbers, looks, speed."""

import re

import numpy as np
import pytest
import torch
from playwright.sync_api import Page, expect

from detr_tutorial.widgets import MatchingExplorer
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
from tests.widgets.test_matching_explorer import arguments


@pytest.fixture(scope="session")
def html() -> str:
    return MatchingExplorer(**arguments())._repr_html_()


def slot(page: Page, index: int):
    return page.get_by_role("slider", name=re.compile(f"^Slot {index}"))


def badge(page: Page, index: int) -> tuple[float, float]:
    box = page.locator(f'[data-slot="{index}"] circle').first.bounding_box()
    assert box
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def center(page: Page, index: int) -> tuple[float, float]:
    """Where a slot stands, as fractions of the photograph."""
    photo = page.locator(".mx-photo image").bounding_box()
    assert photo
    x, y = badge(page, index)
    return (x - photo["x"]) / photo["width"], (y - photo["y"]) / photo["height"]


def costs(page: Page) -> torch.Tensor:
    texts = page.locator(".mx-table tbody td > span:first-child").all_text_contents()
    return torch.tensor([float(text.replace("−", "-")) for text in texts]).reshape(4, 3)


def chosen(page: Page) -> list[tuple[int, int]]:
    marks = page.locator(".mx-table tbody td").evaluate_all(
        "cells => cells.map(cell => cell.classList.contains('mx-chosen'))"
    )
    return [divmod(index, 3) for index, mark in enumerate(marks) if mark]


def choose(page: Page, name: str) -> None:
    page.get_by_role("radio", name=name, exact=True).check(force=True)


def in_python(page: Page) -> torch.Tensor:
    """What Python says the costs are for the boxes as they are drawn."""
    explorer = MatchingExplorer(**arguments())
    boxes = explorer.boxes
    explorer.boxes = [[*center(page, index), *boxes[index][2:]] for index in range(4)]
    return explorer.cost().float()


def test_costs_and_pairs_are_there_at_once_and_those_of_python(open_page, html):
    page = open_page(html)
    assert torch.allclose(costs(page), MatchingExplorer(**arguments()).cost().float(), atol=0.0051)
    assert chosen(page) == [(0, 2), (1, 1), (3, 0)]
    expect(page.locator(".mx-lines path.mx-line")).to_have_count(3)


@pytest.mark.parametrize(
    ("rule", "pairs", "says"),
    [
        ("greedy", [(0, 2), (1, 0), (3, 1)], "above the cheapest"),
        ("nearest", [(0, 2), (1, 0), (1, 1)], "Slot 1 answers more than once"),
        ("cheapest", [(0, 2), (1, 1), (3, 0)], "cup – slot 3, saucer – slot 1, spoon – slot 0"),
    ],
)
def test_a_rule_chooses_its_pairs_and_says_what_is_special(open_page, html, rule, pairs, says):
    page = open_page(html)
    choose(page, rule)
    assert chosen(page) == pairs
    expect(page.locator(".mx-status")).to_contain_text(says)


def test_dragging_a_slot_moves_it_and_its_costs(open_page, html):
    page = open_page(html)
    before, start = costs(page), center(page, 2)
    x, y = badge(page, 2)
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x - 120, y + 90, steps=5)
    page.mouse.up()
    moved = center(page, 2)
    assert moved[0] < start[0] - 0.1
    assert moved[1] > start[1] + 0.1
    after = costs(page)
    assert (after != before).any(dim=1).tolist() == [False, False, True, False]
    assert torch.allclose(after, in_python(page), atol=0.02)


def test_a_slot_can_be_grabbed_at_its_edge_and_does_not_jump(open_page, html):
    page = open_page(html)
    box = page.locator('[data-slot="2"] .mx-reach').bounding_box()
    assert box
    start = center(page, 2)
    page.mouse.move(box["x"] + box["width"] / 4, box["y"] + 8)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] / 4 + 1, box["y"] + 8)
    page.mouse.up()
    assert np.allclose(center(page, 2), start, atol=0.01)


def test_a_slot_cannot_be_dragged_off_the_photograph(open_page, html):
    page = open_page(html)
    x, y = badge(page, 2)
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 3000, y - 3000, steps=3)
    page.mouse.up()
    assert np.allclose(center(page, 2), (1, 0), atol=0.01)


def test_arrow_keys_move_a_slot_and_shift_moves_it_further(open_page, html):
    page = open_page(html)
    start = center(page, 1)
    slot(page, 1).focus()
    for key, wanted in (
        ("ArrowRight", (0.01, 0)),
        ("Shift+ArrowDown", (0.01, 0.05)),
        ("ArrowUp", (0.01, 0.04)),
    ):
        page.keyboard.press(key)
        moved = np.subtract(center(page, 1), start)
        np.testing.assert_allclose(moved, wanted, atol=0.004)
    assert page.evaluate("scrollY") == 0
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.dataset.slot") == "2"


def test_enough_steps_change_the_pairing_but_not_the_sum_by_a_jump(open_page, html):
    page = open_page(html)
    slot(page, 3).focus()
    pairings, sums = [], []
    for step in range(45):
        pairings.append(chosen(page))
        sums.append(float((page.locator(".mx-table tfoot td").text_content() or "").replace("−", "-")))
        page.keyboard.press("ArrowLeft" if step < 9 else "ArrowDown")
    assert pairings[0] == [(0, 2), (1, 1), (3, 0)]
    assert pairings[-1] == [(0, 2), (1, 0), (3, 1)]
    assert np.abs(np.diff(sums)).max() < 0.3


def test_reset_brings_boxes_and_rule_back(open_page, html):
    page = open_page(html)
    start = costs(page)
    choose(page, "greedy")
    slot(page, 0).press("Shift+ArrowRight")
    assert not torch.equal(costs(page), start)
    page.get_by_role("button", name="Reset").click()
    assert torch.equal(costs(page), start)
    assert chosen(page) == [(0, 2), (1, 1), (3, 0)]


def test_what_changed_is_told_to_screen_readers(open_page, html):
    page = open_page(html)
    choose(page, "nearest")
    expect(page.get_by_role("status")).to_contain_text("Slot 1 answers more than once", timeout=3000)
    assert "answers for cup and saucer" in (slot(page, 1).get_attribute("aria-valuetext") or "")
    assert "no object" in (slot(page, 3).get_attribute("aria-valuetext") or "")


def test_a_finger_drags_a_slot_but_elsewhere_scrolls_the_page(open_page, html):
    page = open_page(html, width=360, has_touch=True, is_mobile=True)
    assert slot(page, 2).evaluate("e => getComputedStyle(e).touchAction") == "none"
    assert page.locator(".mx-photo").evaluate("e => getComputedStyle(e).touchAction") != "none"
    circle = page.locator('[data-slot="2"] circle').bounding_box()
    assert circle
    assert circle["width"] >= 24
    x, y = badge(page, 2)
    touch = finger(page)
    start, scrolled = center(page, 2), page.evaluate("scrollY")
    drag_by_finger(touch, (x, y), (x - 40, y + 30), steps=5)
    assert center(page, 2)[0] < start[0] - 0.05
    moved = slot(page, 2).get_attribute("aria-valuetext")
    assert page.evaluate("scrollY") == scrolled
    photo = page.locator(".mx-photo").bounding_box()
    assert photo
    corner = photo["x"] + 8, photo["y"] + photo["height"] - 8  # neither slot nor object
    drag_by_finger(touch, corner, (corner[0], corner[1] - 120), steps=10)
    page.wait_for_function("before => scrollY > before", arg=scrolled)
    assert slot(page, 2).get_attribute("aria-valuetext") == moved


def test_the_wheel_over_the_widget_scrolls_the_page(open_page, html):
    page = open_page(html)
    assert_wheel_scrolls(page, badge(page, 1))


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("width", [320, 360, 440, 520, 600, 660, 750, 900])
def test_the_page_does_not_jump_when_the_widget_wakes_up(open_page, html, width, style):
    assert_no_jump(open_page, html, width, style)


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("width", [320, 360, 480, 620, 800])
def test_the_page_stays_in_place_and_in_its_width_while_the_reader_plays(open_page, html, width, style):
    page = open_page(html, width=width, style=STYLES[style])
    assert_stays(
        page,
        """
        for (const chip of all(".dw-chip input")) {
            chip.click();
            for (const slot of all(".mx-slot")) {
                for (const key of ["ArrowLeft", "ArrowUp", "ArrowRight", "ArrowRight", "ArrowDown"]) {
                    press(slot, key, true);
                    note();
                }
            }
        }
        """,
    )
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_without_scripts_the_photograph_and_the_costs_are_there(open_page, html):
    page = open_page(html, scripts=False)
    expect(page.locator(".mx-photo image")).to_be_visible()
    assert page.locator(".mx-table tbody tr").count() == 4
    assert page.locator(".mx-slot").count() == 4
    assert page.locator(".mx-chosen").count() == 3


@pytest.mark.parametrize(("theme", "width"), [("light", 800), ("dark", 800), ("light", 360), ("dark", 360)])
def test_axe_finds_nothing(open_page, html, theme, width):
    page = open_page(html, theme=theme, width=width, style=STYLES["book"])
    assert axe_violations(page) == []
    choose(page, "nearest")
    slot(page, 0).press("Shift+ArrowRight")
    assert axe_violations(page) == []


def test_with_a_kernel_the_photograph_comes_in_the_state(open_page, html):
    scene = MatchingExplorer(**arguments()).scene
    without = re.sub(r"<image [^>]*/>", "", html)
    assert without != html
    inside = without.replace('"key":', f'"photo":"{scene["photo"]}","key":', 1)
    page = open_page(inside)
    assert page.locator(".mx-photo image").get_attribute("href") == scene["photo"]


def test_several_explorers_on_a_page_live_side_by_side(open_page, html):
    page = open_page(html, html)
    expect(page.locator(".mx-slot")).to_have_count(8)
    assert_ids_differ(page)
    page.locator(".mx").nth(1).get_by_role("radio", name="greedy").check(force=True)
    sums = page.locator(".mx-table tfoot td").all_text_contents()
    assert sums[0] != sums[1]


@pytest.mark.timing
def test_a_pointer_move_is_drawn_within_16_ms(open_page, html):
    page = open_page(html)
    assert_quick(
        page, "move(step);", before='const move = drag(one(".mx-slot"), one(".mx-photo image"), 0.45);'
    )
