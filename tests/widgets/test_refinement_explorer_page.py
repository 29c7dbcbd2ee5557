"""The refinement explorer on a page without a kernel, in a real browser: hands, keys, boxes, looks, speed."""

import re

import numpy as np
import pytest
from playwright.sync_api import Page, expect

from detr_tutorial.widgets import RefinementExplorer
from tests.widgets.pages import (
    STYLES,
    assert_ids_differ,
    assert_no_jump,
    assert_quick,
    assert_stays,
    assert_within,
    axe_violations,
    drag_by_finger,
    finger,
)
from tests.widgets.test_refinement_explorer import arguments

STILL = "<style>.rx-moves { transition: none !important }</style>"


@pytest.fixture(scope="session")
def explorer() -> RefinementExplorer:
    return RefinementExplorer(**arguments())


@pytest.fixture(scope="session")
def html(explorer) -> str:
    return explorer._repr_html_() + STILL


def layer(page: Page):
    return page.get_by_role("slider", name="Layer")


def choose(page: Page, name: str) -> None:
    page.get_by_role("radio", name=name, exact=True).check(force=True)


def box(page: Page, query: int) -> list[float]:
    """Where a query's box is drawn, as (cx, cy, w, h) in parts of the picture."""
    photo = page.locator(".rx-photo image").bounding_box()
    drawn = page.locator(f'.rx-photo [data-query="{query}"]').bounding_box()
    assert photo
    assert drawn
    return [
        (drawn["x"] + drawn["width"] / 2 - photo["x"]) / photo["width"],
        (drawn["y"] + drawn["height"] / 2 - photo["y"]) / photo["height"],
        drawn["width"] / photo["width"],
        drawn["height"] / photo["height"],
    ]


def test_the_boxes_of_every_layer_are_those_of_python(open_page, html, explorer):
    page = open_page(html)
    for start in ("proposed", "pushed aside"):
        choose(page, start)
        for step in range(4):
            layer(page).fill(str(step))
            for query in (0, 3, 7):
                wanted = explorer.scene["starts"][start]["boxes"][step][query]
                np.testing.assert_allclose(box(page, query), wanted, atol=0.004)


def test_points_are_drawn_where_the_next_layer_looks_and_none_after_the_last(open_page, html, explorer):
    page = open_page(html)
    expect(page.locator(".rx-point")).to_have_count(64)
    before = page.locator(".rx-point").first.get_attribute("style")
    layer(page).fill("1")
    assert page.locator(".rx-point").first.get_attribute("style") != before
    layer(page).fill("3")
    expect(page.locator(".rx-point")).to_have_count(0)
    expect(page.locator(".rx-trail")).to_have_count(3)


def test_the_status_says_what_changed(open_page, html, explorer):
    page = open_page(html)
    layer(page).fill("2")
    overlaps = explorer.scene["starts"]["proposed"]["overlaps"]
    text = page.locator(".rx-status").text_content() or ""
    assert f"overlap with the object {overlaps[2][0]:.2f}" in text
    assert f"{overlaps[0][0]:.2f} at the start" in text
    assert "Layer 3 looks from here" in text
    expect(page.get_by_role("status")).to_contain_text("after layer 2", timeout=3000)
    assert layer(page).get_attribute("aria-valuetext") == "after layer 2"


def test_arrow_keys_go_through_layers_starts_and_queries(open_page, html):
    page = open_page(html)
    layer(page).focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    expect(page.locator(".rx-status")).to_contain_text("after layer 2")
    page.keyboard.press("Tab")
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("radio", name="pushed aside")).to_be_checked()
    page.keyboard.press("Tab")
    page.keyboard.press("ArrowRight")
    expect(page.locator(".rx-status")).to_contain_text("Query 1,")
    assert page.evaluate("scrollY") == 0


def test_a_click_on_a_box_enlarges_it(open_page, html):
    page = open_page(html)
    page.locator('.rx-photo [data-query="4"]').click()
    expect(page.locator(".rx-status")).to_contain_text("Query 4,")
    expect(page.get_by_role("radio", name=re.compile("^4 "))).to_be_checked()
    expect(page.locator(".rx-photo .rx-chosen")).to_have_count(1)


def test_a_finger_chooses_and_elsewhere_scrolls(open_page, html):
    page = open_page(html, width=360, has_touch=True, is_mobile=True)
    page.locator('.rx-photo [data-query="2"]').tap()
    expect(page.locator(".rx-status")).to_contain_text("Query 2,")
    photo = page.locator(".rx-photo").bounding_box()
    assert photo
    touch = finger(page)
    place = photo["x"] + photo["width"] / 2, photo["y"] + photo["height"] - 10
    drag_by_finger(touch, place, (place[0], place[1] - 120), steps=10)
    page.wait_for_function("scrollY > 0")


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("width", [320, 360, 440, 520, 600, 750, 900])
def test_the_page_does_not_jump_when_the_widget_wakes_up(open_page, html, width, style):
    assert_no_jump(open_page, html, width, style)


@pytest.mark.parametrize("width", [320, 360, 480, 620, 800])
def test_the_page_stays_in_place_and_in_its_width_while_the_reader_plays(open_page, html, width):
    page = open_page(html, width=width, style=STYLES["book"])
    assert_stays(
        page,
        """
        for (const chip of all(".dw-chip input")) {
            chip.click();
            for (const value of [0, 1, 2, 3]) {
                slide(one("input[type=range]"), value);
                note();
            }
        }
        """,
    )
    assert_within(page, width, ".rx .dw-body > :not(.rx-main)")


def test_without_scripts_the_picture_and_its_boxes_are_there(open_page, html):
    page = open_page(html, scripts=False)
    expect(page.locator(".rx-photo image")).to_be_visible()
    assert page.locator(".rx-box").count() == 8


@pytest.mark.parametrize(("theme", "width"), [("light", 800), ("dark", 800), ("light", 360), ("dark", 360)])
def test_axe_finds_nothing(open_page, html, theme, width):
    page = open_page(html, theme=theme, width=width, style=STYLES["book"])
    layer(page).fill("1")
    assert axe_violations(page) == []


def test_several_explorers_on_a_page_live_side_by_side(open_page, html):
    page = open_page(html, html)
    assert_ids_differ(page)
    page.locator(".rx").nth(1).get_by_role("slider").fill("2")
    texts = page.locator(".rx-status").all_text_contents()
    assert "start:" in texts[0]
    assert "after layer 2" in texts[1]


@pytest.mark.timing
def test_a_layer_is_drawn_within_16_ms(open_page, html):
    page = open_page(html)
    assert_quick(page, 'slide(one("input[type=range]"), step % 4);')
