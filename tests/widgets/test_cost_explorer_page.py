"""The cost explorer on a page without a kernel, in a real browser: hands, keys, numbers, looks, speed."""

import re

import pytest
from playwright.sync_api import Page, expect

from detr_tutorial.complexity import layer_costs, level_shapes
from detr_tutorial.widgets import CostExplorer
from detr_tutorial.widgets.cost_explorer import bytes_text
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


@pytest.fixture(scope="session")
def html() -> str:
    return CostExplorer()._repr_html_()


def slider(page: Page, name: str):
    return page.get_by_role("slider", name=name, exact=True)


def row(page: Page, kind: str) -> list[str]:
    cells = page.locator(".ce-table tbody tr").nth(["dense", "deformable"].index(kind)).locator("td")
    return cells.all_text_contents()


def values(page: Page) -> list[str]:
    """The numbers in the two charts: dense and deformable memory, dense and deformable work."""
    return page.locator(".ce-value").all_text_contents()


def test_the_figure_of_the_chapter_is_there_at_once(open_page, html):
    page = open_page(html)
    assert row(page, "dense") == ["4.67 G", "0", "163 G", "167 G", "9.46 GiB"]
    assert row(page, "deformable") == ["2.34 G", "1.75 G", "365 M", "4.45 G", "305 MiB"]
    assert values(page) == ["9.46 GiB", "305 MiB", "167 G", "4.45 G"]
    expect(page.locator(".ce-status")).to_contain_text("800 × 1066 pixels are 17,821 tokens.")


def test_the_image_grows_by_keys_and_by_a_click_in_a_chart(open_page, html):
    page = open_page(html)
    slider(page, "Image").focus()
    page.keyboard.press("ArrowRight")
    assert slider(page, "Image").get_attribute("aria-valuetext") == "816 by 1087 pixels"
    dense = layer_costs(level_shapes(816, 1087), "dense").encoder
    assert row(page, "dense")[-1] == bytes_text(dense.held_bytes)
    box = page.locator(".ce-chart").first.bounding_box()
    assert box
    page.mouse.click(box["x"] + box["width"] * (48 + (340 - 48 - 18) / 2) / 340, box["y"] + 60)
    assert slider(page, "Image").input_value() == "512"


def test_levels_are_taken_away_and_one_always_stays(open_page, html):
    page = open_page(html)
    for stride in (8, 16, 64):
        page.get_by_role("checkbox", name=f"level of stride {stride}").uncheck(force=True)
    dense = layer_costs(level_shapes(800, 1066, (32,)), "dense").encoder
    assert row(page, "dense")[-1] == bytes_text(dense.held_bytes) == "22 MiB"
    last = page.get_by_role("checkbox", name="level of stride 32")
    last.press("Space")
    expect(last).to_be_checked()
    assert row(page, "dense")[-1] == "22 MiB"
    page.get_by_role("checkbox", name="level of stride 16").press("Space")
    expect(page.locator(".ce-status")).to_contain_text("4,200 tokens")


def test_points_change_one_row_and_queries_the_decoder(open_page, html):
    page = open_page(html)
    before = row(page, "dense")
    slider(page, "Points K").fill("8")
    assert row(page, "dense") == before
    cost = layer_costs(level_shapes(800, 1066), "deformable", num_points=8).encoder
    assert row(page, "deformable")[-1] == bytes_text(cost.held_bytes)
    page.get_by_role("radio", name="decoder").check(force=True)
    slider(page, "Queries").fill("100")
    dense = layer_costs(level_shapes(800, 1066), "dense", num_queries=100).decoder_cross
    assert row(page, "dense")[-1] == bytes_text(dense.held_bytes)
    expect(page.locator(".ce-status")).to_contain_text("in one decoder layer")


def test_what_changed_is_told_to_screen_readers(open_page, html):
    page = open_page(html)
    slider(page, "Points K").fill("2")
    expect(page.get_by_role("status")).to_contain_text("Dense attention in one encoder layer", timeout=3000)
    label = page.locator(".ce-chart").first.get_attribute("aria-label") or ""
    assert re.search(r"At 800 pixels: dense 9.46 GiB, deformable \d+ MiB", label)


def test_a_finger_taps_a_chart_and_scrolls_the_page_over_it(open_page, html):
    page = open_page(html, width=360, has_touch=True, is_mobile=True)
    chart = page.locator(".ce-chart").first
    box = chart.bounding_box()
    assert box
    page.touchscreen.tap(box["x"] + box["width"] * 48 / 340, box["y"] + 60)
    assert slider(page, "Image").input_value() == "128"
    assert chart.evaluate("e => getComputedStyle(e).touchAction") != "none"
    touch = finger(page)
    x, y = box["x"] + 100, box["y"] + 100
    drag_by_finger(touch, (x, y), (x, y - 120), steps=10)
    page.wait_for_function("scrollY > 0")
    assert slider(page, "Image").input_value() == "128"


def test_the_wheel_over_the_widget_scrolls_the_page(open_page, html):
    page = open_page(html)
    box = page.locator(".ce-chart").first.bounding_box()
    assert box
    assert_wheel_scrolls(page, (box["x"] + 90, box["y"] + 90))


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
        const steps = [128, 5, 330];
        for (const chip of all(".dw-chip input")) {
            chip.click();
            for (const [number, slider] of all(".dw-slider input").slice(0, 3).entries()) {
                for (let value = Number(slider.min); value <= Number(slider.max); value += steps[number]) {
                    slide(slider, value);
                    note();
                }
            }
        }
        """,
    )
    assert_within(page, width, ".dw-body")


def test_without_scripts_charts_and_table_are_there(open_page, html):
    page = open_page(html, scripts=False)
    expect(page.locator(".ce-line")).to_have_count(4)
    assert row(page, "dense") == ["4.67 G", "0", "163 G", "167 G", "9.46 GiB"]
    assert row(page, "deformable") == ["2.34 G", "1.75 G", "365 M", "4.45 G", "305 MiB"]


@pytest.mark.parametrize(("theme", "width"), [("light", 800), ("dark", 800), ("light", 360), ("dark", 360)])
def test_axe_finds_nothing(open_page, html, theme, width):
    page = open_page(html, theme=theme, width=width, style=STYLES["book"])
    assert axe_violations(page) == []
    page.get_by_role("radio", name="decoder").check(force=True)
    assert axe_violations(page) == []


def test_it_begins_with_what_python_has_set(open_page):
    explorer = CostExplorer(height=400, width=600, strides=(16, 32), num_points=2)
    explorer.part = "decoder"
    page = open_page(explorer._repr_html_())
    assert slider(page, "Image").get_attribute("aria-valuetext") == "400 by 600 pixels"
    assert row(page, "dense")[-1] == bytes_text(explorer.costs()["dense"].held_bytes)
    expect(page.get_by_role("radio", name="decoder")).to_be_checked()
    expect(page.get_by_role("checkbox", name="level of stride 8")).not_to_be_checked()


def test_several_explorers_on_a_page_live_side_by_side(open_page, html):
    page = open_page(html, html)
    page.wait_for_function("document.querySelectorAll('.ce-table').length === 2")
    assert_ids_differ(page)
    page.get_by_role("slider", name="Points K").nth(1).fill("9")
    held = page.locator(".ce-table tbody tr:nth-child(2) td:last-child").all_text_contents()
    assert held[0] == "305 MiB" != held[1]


@pytest.mark.timing
def test_a_step_of_a_slider_is_drawn_within_16_ms(open_page, html):
    page = open_page(html)
    assert_quick(page, 'slide(one(".dw-slider input"), 128 + 32 * step);')
