"""The explorer on a page without a kernel, in a real browser: hands, keys, numbers, looks and speed."""

import re

import numpy as np
import pytest
import torch
from einops import rearrange
from playwright.sync_api import Page, expect

from detr_tutorial.deformable_attention import ms_deform_attn
from detr_tutorial.widgets import SamplingPointsExplorer
from tests.widgets.pages import (
    STYLES,
    assert_ids_differ,
    assert_no_jump,
    assert_within,
    axe_violations,
    drag_by_finger,
    finger,
)
from tests.widgets.scenes import SHAPES
from tests.widgets.test_explorer import torch_record

LEVEL_1 = 37 * 40  # first token of level 1
COLUMNS = 20  # of level 1


@pytest.fixture
def html(explorer) -> str:
    return explorer._repr_html_()


def query_of(page: Page) -> int:
    return int(page.locator(".spe-handle").first.get_attribute("data-query") or -1)


def number(text: str | None) -> float:
    return float((text or "").replace("−", "-"))


def center(page: Page, selector: str) -> tuple[float, float]:
    box = page.locator(selector).first.bounding_box()
    assert box
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def transforms(page: Page) -> list[str]:
    return page.locator(".spe-photo .spe-point").evaluate_all(
        "marks => marks.map(m => m.getAttribute('transform'))"
    )


def choose(page: Page, name: str) -> None:
    page.get_by_role("radio", name=name, exact=True).check(force=True)


def slide(page: Page, name: str, value: float) -> None:
    page.locator(f'[data-bend="{name}"]').evaluate(
        """(slider, value) => {
            slider.value = value;
            slider.dispatchEvent(new Event("input", { bubbles: true }));
        }""",
        value,
    )


def drawn_point(page: Page, head: int, level: int, point: int) -> tuple[float, float]:
    """Where a point is drawn on the photograph, normalized over the padded batch."""
    transform = page.locator(f'.spe-photo [data-point="{head}.{level}.{point}"]').get_attribute("transform")
    found = re.match(r"translate\(([-\d.]+),([-\d.]+)\)", transform or "")
    assert found
    return float(found[1]) / 400, float(found[2]) / 370  # 320 x 296, longest side 400


def test_all_points_of_the_middle_query_are_there_at_once(open_page, html, explorer):
    page = open_page(html)
    assert query_of(page) == explorer.query
    assert page.locator(".spe-photo .spe-point").count() == 8 * 4 * 4
    expect(page.locator(".spe-level")).to_have_count(4)
    expect(page.locator(".spe-arithmetic")).to_be_visible()


def test_dragging_the_query_moves_it_and_its_points(open_page, html, scene):
    page = open_page(html)
    before, start = transforms(page), query_of(page)
    x, y = center(page, ".spe-cross")
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 60, y - 40, steps=5)
    page.mouse.up()
    query = query_of(page)
    assert query != start
    assert sum(a != b for a, b in zip(before, transforms(page), strict=True)) > 100
    # the point drawn is where torch samples
    locations, _ = torch_record(scene, 0, query)
    np.testing.assert_allclose(drawn_point(page, 3, 0, 1), locations[3, 0, 1], atol=1e-3)
    # and the query is the cell under the pointer
    cross_x, cross_y = center(page, ".spe-cross")
    assert abs(cross_x - (x + 60)) < 12
    assert abs(cross_y - (y - 40)) < 12


def test_the_query_cannot_be_dragged_off_the_photograph(open_page, html):
    page = open_page(html)
    x, y = center(page, ".spe-cross")
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 2000, y + 2000, steps=3)
    page.mouse.up()
    assert query_of(page) == LEVEL_1 + 15 * COLUMNS + 19  # the last valid cell: 16 of 19 rows


def test_a_click_on_the_photograph_brings_the_query_there(open_page, html):
    page = open_page(html)
    slide(page, "scale", 0)  # no point in the way
    box = page.locator(".spe-photo image").bounding_box()
    assert box
    page.mouse.click(box["x"] + 3, box["y"] + 3)
    assert query_of(page) == LEVEL_1


def test_arrow_keys_move_the_query_by_one_cell(open_page, html, explorer):
    page = open_page(html)
    handle = page.get_by_role("slider", name=re.compile("^Query"))
    handle.focus()
    for key, step in [("ArrowRight", 1), ("ArrowDown", COLUMNS), ("ArrowLeft", -1), ("ArrowUp", -COLUMNS)]:
        before = query_of(page)
        page.keyboard.press(key)
        assert query_of(page) == before + step
    page.keyboard.press("Shift+ArrowRight")
    assert query_of(page) == explorer.query + 4
    assert page.evaluate("scrollY") == 0
    assert handle.get_attribute("aria-valuetext") == "row 8, column 14 of level 1"


def test_tab_reaches_the_query_then_the_points_and_enter_opens_one(open_page, html):
    page = open_page(html)
    page.get_by_role("slider", name=re.compile("^Query")).focus()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.getAttribute('role')") == "option"
    page.keyboard.press("Home")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    assert page.evaluate("document.activeElement.dataset.point") == "0.0.2"
    page.keyboard.press("Enter")
    expect(page.locator(".spe-title")).to_have_text("Head 0 (circle), level 0, point 2")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.closest('fieldset') !== null")


@pytest.mark.parametrize("point", [(1, 0, 0), (3, 1, 2), (5, 2, 1)])
def test_the_arithmetic_of_a_clicked_point_is_that_of_torch(open_page, html, scene, explorer, point):
    head, level, k = point
    page = open_page(html)
    choose(page, f"Head {head}, " + {1: "square", 3: "diamond", 5: "plus"}[head])
    choose(page, f"Level {level}")
    page.mouse.click(*center(page, f'.spe-photo [data-point="{head}.{level}.{k}"]'))
    expect(page.locator(".spe-title")).to_contain_text(f"level {level}, point {k}")

    flat = scene.flattened
    locations, weights = (torch.as_tensor(part) for part in torch_record(scene, 0, explorer.query))
    with torch.no_grad():
        value = scene.attention.value_proj(flat.tokens[:1]).masked_fill(flat.mask[:1, :, None], 0.0)
    value = rearrange(value, "B S (M D) -> B S M D", M=8)
    only_this = torch.zeros_like(weights)
    only_this[head, level, k] = 1

    def attend(used: torch.Tensor) -> float:
        output = ms_deform_attn(value, SHAPES, locations[None, None], used[None, None])
        return float(rearrange(output, "1 1 (M D) -> M D", M=8)[head, 0])

    shown = {
        name: number(page.locator(f'[data-number="{name}"]').text_content())
        for name in ("sample", "weight", "contribution")
    }
    assert shown["sample"] == pytest.approx(attend(only_this), abs=2e-4)
    assert shown["weight"] == pytest.approx(float(weights[head, level, k]), abs=1e-4)
    assert shown["contribution"] == pytest.approx(attend(only_this * weights), abs=1e-4)
    total = float(page.locator(".spe-total").get_attribute("data-total") or "nan")
    assert total == pytest.approx(attend(weights), abs=2e-4)
    # the table adds up before the reader's eyes
    rows = page.locator(".dw-table tbody tr")
    cells = [
        [number(text.split()[-1]) for text in rows.nth(i).locator("td").all_text_contents()] for i in range(4)
    ]
    assert sum(row[0] for row in cells) == pytest.approx(1, abs=3e-4)
    assert sum(row[2] for row in cells) == pytest.approx(shown["sample"], abs=3e-4)


def test_a_point_on_a_small_map_can_be_clicked_too(open_page, html):
    page = open_page(html)
    choose(page, "Head 4, triangle pointing down")
    page.locator('[data-level="3"] .spe-point').nth(1).click(force=True)
    expect(page.locator(".spe-title")).to_have_text("Head 4 (triangle pointing down), level 3, point 1")


def test_points_outside_and_in_the_padding_read_zeros_and_say_so(open_page, html):
    page = open_page(html)
    choose(page, "Head 0, circle")
    choose(page, "Level 3")
    slide(page, "scale", 3)
    expect(page.locator(".spe-photo .spe-lost")).not_to_have_count(0)
    page.locator('.spe-photo [data-point="0.3.3"]').dispatch_event("click")
    expect(page.locator(".dw-table tbody tr").first).to_contain_text("outside: 0")
    assert number(page.locator('[data-number="contribution"]').text_content()) == 0

    page.get_by_role("button", name="Reset").click()
    box = page.locator(".spe-photo image").bounding_box()
    assert box
    page.mouse.click(
        box["x"] + 5, box["y"] + box["height"] - 3
    )  # last row of the photograph, above the padding
    choose(page, "Head 2, triangle")  # looks down
    choose(page, "Level 1")
    page.locator('.spe-photo [data-point="2.1.2"]').dispatch_event("click")
    expect(page.locator(".dw-table tbody")).to_contain_text("padding: 0")


def test_heads_and_levels_are_chosen(open_page, html):
    page = open_page(html)
    choose(page, "Head 3, diamond")
    expect(page.locator(".spe-photo .spe-point")).to_have_count(16)
    choose(page, "Level 2")
    expect(page.locator(".spe-photo .spe-point")).to_have_count(4)
    expect(page.locator(".spe-weights text")).to_have_count(4)
    choose(page, "All heads")
    expect(page.locator(".spe-photo .spe-point")).to_have_count(32)
    choose(page, "All levels")
    expect(page.locator(".spe-photo .spe-point")).to_have_count(128)


def test_sliders_bend_the_chosen_head_only_and_reset_straightens_everything(open_page, html, explorer):
    page = open_page(html)
    start = transforms(page)
    choose(page, "Head 1, square")
    slide(page, "scale", 2)
    slide(page, "rotation", 90)
    expect(page.locator(".spe-note")).to_have_text("Bent: head 1.")
    choose(page, "All heads")
    bent = [a != b for a, b in zip(start, transforms(page), strict=True)]
    assert bent == [16 <= index < 32 for index in range(128)]

    page.get_by_role("slider", name=re.compile("^Query")).press("ArrowLeft")
    page.get_by_role("button", name="Reset").click()
    assert transforms(page) == start
    assert query_of(page) == explorer.query
    expect(page.locator(".spe-note")).to_have_text("As the attention computed it.")


def test_rotating_by_a_quarter_turn_turns_offsets_in_cells(open_page, html, scene, explorer):
    page = open_page(html)
    slide(page, "rotation", 90)
    slide(page, "scale", 0.5)
    locations, _ = torch_record(scene, 0, explorer.query)
    cross = page.locator(".spe-photo .spe-cross").get_attribute("transform")
    found = re.match(r"translate\(([-\d.]+),([-\d.]+)\)", cross or "")
    assert found
    reference = np.array([float(found[1]) / 400, float(found[2]) / 370])
    size = np.array([40, 37])
    offset = (locations[6, 0, 1] - reference) * size
    expected = reference + 0.5 * np.array([-offset[1], offset[0]]) / size
    np.testing.assert_allclose(drawn_point(page, 6, 0, 1), expected, atol=1e-3)


def test_temperature_and_boost_move_attention_weight(open_page, html):
    page = open_page(html)
    choose(page, "Head 3, diamond")

    def weights(level: str) -> list[float]:
        choose(page, level)
        return [number(text) for text in page.locator(".spe-weights text").all_text_contents()]

    before = weights("Level 2")
    slide(page, "temperature", 0.1)
    assert max(weights("Level 2") + weights("Level 0") + weights("Level 1") + weights("Level 3")) > max(
        before
    )
    slide(page, "temperature", 5)
    page.get_by_label("Level whose logits change").select_option("2")
    slide(page, "boost", 4)
    assert sum(weights("Level 2")) > 0.8


def test_what_the_sliders_do_is_told_to_screen_readers(open_page, html):
    page = open_page(html)
    slide(page, "scale", 1.5)
    scale = page.get_by_role("slider", name="Scale offsets")
    assert scale.get_attribute("aria-valuetext") == "× 1.50"
    expect(page.get_by_role("status")).to_contain_text("Bent by hand", timeout=3000)


def test_a_finger_drags_the_query_but_elsewhere_scrolls_the_page(open_page, html):
    page = open_page(html, width=360, has_touch=True, is_mobile=True)
    assert page.locator(".spe-handle").evaluate("e => getComputedStyle(e).touchAction") == "none"
    assert page.locator(".spe-photo").evaluate("e => getComputedStyle(e).touchAction") != "none"
    x, y = center(page, ".spe-cross")
    touch = finger(page)
    start, scrolled = query_of(page), page.evaluate("scrollY")
    drag_by_finger(touch, (x, y), (x + 40, y + 40), steps=5)
    moved = query_of(page)
    assert moved != start
    assert page.evaluate("scrollY") == scrolled
    box = page.locator(".spe-photo").bounding_box()
    assert box
    drag_by_finger(touch, (box["x"] + 40, box["y"] + 150), (box["x"] + 40, box["y"] + 150 - 120), steps=10)
    page.wait_for_function("before => scrollY > before", arg=scrolled)
    assert query_of(page) == moved


def test_the_wheel_over_the_widget_scrolls_the_page(open_page, html):
    page = open_page(html)
    page.mouse.move(*center(page, ".spe-photo"))
    page.mouse.wheel(0, 300)
    page.wait_for_function("scrollY > 0")


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("width", [320, 360, 400, 450, 500, 560, 640, 700, 750, 790, 1200])
def test_the_page_does_not_jump_when_the_widget_wakes_up(open_page, html, width, style):
    assert_no_jump(open_page, html, width, style)


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("width", [320, 360, 800])
def test_nothing_is_wider_than_the_page(open_page, html, width, style):
    page = open_page(html, width=width, style=STYLES[style])
    assert_within(page, width, ".spe-body")


def test_without_scripts_the_photograph_and_the_points_are_there(open_page, html):
    page = open_page(html, scripts=False)
    expect(page.locator(".spe-photo image")).to_be_visible()
    assert page.locator(".spe-photo circle").count() == 128


@pytest.mark.parametrize(
    ("theme", "scheme", "dark"),
    [("light", "dark", False), ("dark", "light", True), (None, "dark", True), (None, "light", False)],
)
def test_the_theme_of_the_page_comes_first_then_that_of_the_reader(open_page, html, theme, scheme, dark):
    page = open_page(html, theme=theme, color_scheme=scheme)
    ground = page.locator(".spe-body").evaluate("e => getComputedStyle(e).backgroundColor")
    assert (ground != "rgb(255, 255, 255)") is dark


@pytest.mark.parametrize(("theme", "width"), [("light", 800), ("dark", 800), ("light", 360), ("dark", 360)])
def test_axe_finds_nothing(open_page, html, theme, width):
    page = open_page(html, theme=theme, width=width, style=STYLES["book"])
    assert axe_violations(page) == []
    choose(page, "Head 3, diamond")
    choose(page, "Level 3")
    slide(page, "scale", 3)
    assert axe_violations(page) == []


def test_several_widgets_on_a_page_live_side_by_side(open_page, html, scene):
    other = SamplingPointsExplorer(
        scene.attention, scene.flattened, scene.images[1], image_index=1, query_level=2
    )
    page = open_page(html, other._repr_html_(), html)
    page.wait_for_function("document.querySelectorAll('.spe-handle').length === 3")
    assert_ids_differ(page)
    handles = page.locator(".spe-handle")
    before = [handles.nth(i).get_attribute("data-query") for i in range(3)]
    handles.nth(1).press("ArrowRight")
    page.locator(".spe-body").nth(1).get_by_role("radio", name="Head 2, triangle").check(force=True)
    after = [handles.nth(i).get_attribute("data-query") for i in range(3)]
    assert [a != b for a, b in zip(before, after, strict=True)] == [False, True, False]
    assert [page.locator(".spe-photo").nth(i).locator(".spe-point").count() for i in range(3)] == [
        128,
        16,
        128,
    ]


@pytest.mark.timing
def test_a_pointer_move_is_drawn_within_16_ms(open_page, html):
    page = open_page(html)
    times = page.evaluate(
        """() => {
            const handle = document.querySelector(".spe-handle");
            const box = document.querySelector(".spe-photo image").getBoundingClientRect();
            const fire = (type, target, share) => target.dispatchEvent(new MouseEvent(type, {
                bubbles: true, cancelable: true, view: window,
                clientX: box.left + box.width * (0.5 + 0.45 * Math.cos(share * 60)),
                clientY: box.top + box.height * (0.5 + 0.45 * Math.sin(share * 17)),
            }));
            fire("mousedown", handle, 0);
            const times = [];
            let last = null, moved = 0;
            for (let step = 0; step < 100; step += 1) {
                const start = performance.now();
                fire("mousemove", window, step / 100);
                document.querySelector(".spe-body").getBoundingClientRect();  // style and layout
                times.push(performance.now() - start);
                moved += handle.dataset.query !== last;
                last = handle.dataset.query;
            }
            fire("mouseup", window, 1);
            if (moved < 90) throw new Error(`the query moved only ${moved} times`);
            return times;
        }"""
    )
    median = float(np.median(times))
    print(f"\nredraw after a pointer move: median {median:.1f} ms, 95% {np.percentile(times, 95):.1f} ms")
    assert median <= 16


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("width", [360, 480, 560, 750, 900])
def test_the_page_stays_in_place_while_the_reader_plays(open_page, html, width, style):
    page = open_page(html, width=width, style=STYLES[style])
    places = page.evaluate(
        """() => {
            const places = new Set();
            const note = () => places.add(Math.round(document.querySelector("#after").offsetTop));
            const press = (key) => document.querySelector(".spe-handle")
                .dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true }));
            note();
            for (let step = 0; step < 12; step += 1) { press("ArrowLeft"); press("ArrowUp"); note(); }
            for (const point of document.querySelectorAll(".spe-photo .spe-point")) {
                point.dispatchEvent(new MouseEvent("click", { bubbles: true }));
                note();
            }
            const scale = document.querySelector("[data-bend=scale]");
            scale.value = 3;
            scale.dispatchEvent(new Event("input"));
            note();
            for (const chip of document.querySelectorAll(".dw-chip input")) { chip.click(); note(); }
            return [...places];
        }"""
    )
    assert len(places) == 1, places
