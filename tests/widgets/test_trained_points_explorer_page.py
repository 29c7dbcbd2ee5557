"""The trained points explorer on a page without a kernel, in a real browser: hands, points, looks, speed."""

import re

import numpy as np
import pytest
import torch
from playwright.sync_api import Page, expect

from detr_tutorial.widgets import TrainedPointsExplorer
from tests.widgets.pages import (
    STYLES,
    assert_ids_differ,
    assert_no_jump,
    assert_within,
    axe_violations,
    drag_by_finger,
    finger,
)
from tests.widgets.test_trained_points_explorer import arguments

PLACES = """() => {
    const photo = document.querySelector(".tpx-panel image").getBoundingClientRect();
    return [...document.querySelector(".tpx-panel").querySelectorAll(".tpx-point")].map((point) => {
        const { x, y } = new DOMPoint(0, 0).matrixTransform(point.getScreenCTM());
        return [(x - photo.x) / photo.width, (y - photo.y) / photo.height];
    });
}"""


@pytest.fixture(scope="session")
def explorer() -> TrainedPointsExplorer:
    return TrainedPointsExplorer(**arguments())


@pytest.fixture(scope="session")
def html(explorer) -> str:
    return explorer._repr_html_()


def choose(page: Page, group: str, name: str) -> None:
    page.get_by_role("group", name=group, exact=True).get_by_role("radio", name=name, exact=True).check(
        force=True
    )


def status(page: Page):
    return page.locator(".tpx-status")


@pytest.mark.parametrize("attention", ["encoder 0", "encoder 1", "decoder 0", "decoder 2"])
def test_points_are_drawn_where_the_model_looked(open_page, html, explorer, attention):
    page = open_page(html)
    choose(page, "Attention", attention)
    record = explorer._run.attentions[explorer.attentions.index(attention)]
    query = explorer.token if record.kind == "encoder" else 0
    truth = record.locations[0, query].flatten(0, 2).numpy()
    drawn = np.array(page.evaluate(PLACES))
    assert drawn.shape == (64, 2)
    near = (abs(truth - 0.5) < 0.5).all(axis=1)  # far ones stand at the rim
    assert near.sum() > 10
    np.testing.assert_allclose(drawn[near], truth[near], atol=0.01)
    assert (abs(drawn - 0.5) < 0.57).all()


def test_the_points_in_the_predicted_box_are_counted(open_page, html, explorer):
    page = open_page(html)
    record, boxes = explorer._run.attentions[3], explorer._run.boxes[1]
    choose(page, "Attention", "decoder 1")
    for query in range(8):
        page.get_by_role("radio", name=re.compile(f"^{query} ")).check(force=True)
        center, size = boxes[query, :2], boxes[query, 2:]
        inside = ((record.locations[0, query] - center).abs() <= size / 2).all(-1)
        found = re.search(r"(\d+) of 64 points shown, with (\d+) % of", status(page).text_content() or "")
        assert found
        assert abs(int(found[1]) - int(inside.sum())) <= 2  # on the border, by rounding
        share = float(record.weights[0, query][inside].sum() / record.weights[0, query].sum())
        assert abs(int(found[2]) - 100 * share) <= 5
        assert f"detection {query}" in (status(page).text_content() or "")


def test_head_and_level_choose_what_is_drawn_and_counted(open_page, html):
    page = open_page(html)
    choose(page, "Head", "Head 1, square")
    expect(page.locator(".tpx-panel").first.locator(".tpx-point")).to_have_count(16)
    choose(page, "Level", "Level 2")
    expect(page.locator(".tpx-panel").first.locator(".tpx-point")).to_have_count(4)
    expect(status(page)).to_contain_text("of 4 points shown")


def test_a_click_chooses_a_token_in_the_encoder_and_a_detection_in_the_decoder(open_page, html, explorer):
    page = open_page(html)
    photo = page.locator(".tpx-panel image").first.bounding_box()
    assert photo
    cx, cy, _, _ = explorer._run.boxes[-1, 4].tolist()
    place = photo["x"] + cx * photo["width"], photo["y"] + cy * photo["height"]
    page.mouse.click(*place)
    expect(status(page)).to_contain_text("detection 4")
    choose(page, "Attention", "encoder 0")
    page.mouse.click(*place)
    row, column = int(cy * 16), int(cx * 16)
    expect(status(page)).to_contain_text(f"row {row}, column {column} of level 0, in the box of detection 4")
    choose(page, "Query: a token of level", "Token of level 2")
    expect(status(page)).to_contain_text(f"row {row // 4}, column {column // 4} of level 2")
    page.mouse.move(*place)
    page.mouse.down()
    page.mouse.move(photo["x"] + photo["width"] * 0.9, photo["y"] + photo["height"] * 0.1, steps=4)
    page.mouse.up()
    expect(status(page)).to_contain_text("row 0, column 3 of level 2")


def test_everything_can_be_reached_with_the_keyboard(open_page, html, explorer):
    page = open_page(html)
    page.keyboard.press("Tab")
    for _ in range(3):
        page.keyboard.press("ArrowLeft")
    expect(page.get_by_role("radio", name="encoder 1")).to_be_checked()
    for _ in range(3):
        page.keyboard.press("Tab")
    expect(page.get_by_role("radio", name="Token of level 0")).to_be_focused()
    page.keyboard.press("Tab")
    token = page.get_by_role("slider", name=re.compile("^Token"))
    expect(token).to_be_focused()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowUp")
    assert token.get_attribute("aria-valuetext") == "row 7, column 9 of level 0"
    expect(page.get_by_role("status")).to_contain_text("row 7, column 9", timeout=3000)
    assert page.evaluate("scrollY") == 0


def test_the_decoder_shows_where_a_query_started_and_what_it_predicts(open_page, html, explorer):
    page = open_page(html)
    panel = page.locator(".tpx-panel").first
    expect(page.get_by_role("slider")).to_have_count(0)  # no token to move
    started = panel.locator(".tpx-start").get_attribute("style")
    predicted = panel.locator(".tpx-box.tpx-chosen").get_attribute("style")
    choose(page, "Attention", "decoder 0")
    assert panel.locator(".tpx-start").get_attribute("style") != started
    assert panel.locator(".tpx-box.tpx-chosen").get_attribute("style") != predicted
    choose(page, "Attention", "encoder 0")
    expect(panel.locator(".tpx-start")).to_be_hidden()


def test_another_picture_from_python_replaces_everything(open_page, html, explorer):
    """What a kernel does when `explorer.image` is set, done by hand: the scene changes as a whole."""
    page = open_page(html)
    other = TrainedPointsExplorer(explorer._model, torch.rand(3, 60, 100), explorer._names)
    page.evaluate(
        """async ([scene, script]) => {
            const listeners = {};
            const state = { attention: "decoder 2", head: -1, level: -1, token: 0, detection: 0 };
            const model = {
                get: (name) => state[name],
                set: (name, value) => {
                    state[name] = value;
                    for (const listener of listeners[`change:${name}`] ?? []) listener();
                },
                on: (name, f) => { (listeners[name] ??= []).push(f); },
                off: (name, f) => { listeners[name] = listeners[name].filter((other) => other !== f); },
                save_changes: () => {},
            };
            const { default: widget } = await import(`data:text/javascript,${encodeURIComponent(script)}`);
            const el = document.createElement("div");
            el.id = "live";
            document.querySelector("main").prepend(el);
            state.scene = scene[0];
            const stop = widget.render({ model, el });
            model.set("scene", scene[1]);
            model.set("attention", "encoder 0");
            window.left = () => { stop(); return Object.values(listeners).flat().length; };
        }""",
        [[explorer.scene, other.scene], explorer._bundle[0].read_text(encoding="utf-8")],
    )
    live = page.locator("#live")
    assert live.locator("image").first.get_attribute("href") == other.scene["photo"]
    expect(live.locator(".dw-body")).to_have_count(1)
    expect(live.locator(".tpx-status")).to_contain_text("Encoder layer 0")
    assert page.evaluate("left()") == 0


def test_a_finger_chooses_and_elsewhere_scrolls(open_page, html):
    page = open_page(html, width=360, has_touch=True, is_mobile=True)
    choose(page, "Attention", "encoder 0")
    photo = page.locator(".tpx-panel image").first.bounding_box()
    assert photo
    page.touchscreen.tap(photo["x"] + 3, photo["y"] + 3)
    expect(status(page)).to_contain_text("row 0, column 0 of level 0")
    place = photo["x"] + photo["width"] / 2, photo["y"] + photo["height"] - 10
    drag_by_finger(finger(page), place, (place[0], place[1] - 120), steps=10)
    page.wait_for_function("scrollY > 0")


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("width", [320, 360, 600, 900])
def test_the_page_does_not_jump_when_the_widget_wakes_up(open_page, html, width, style):
    assert_no_jump(open_page, html, width, style)


@pytest.mark.parametrize("width", [320, 480, 800])
def test_the_page_stays_in_place_and_in_its_width_while_the_reader_plays(open_page, html, width):
    page = open_page(html, width=width, style=STYLES["book"])
    places = page.evaluate(
        """() => {
            const places = new Set();
            const [attentions, ...others] = document.querySelectorAll(".dw-chips");
            for (const attention of attentions.querySelectorAll("input")) {
                attention.click();
                for (const chip of others.flatMap((group) => [...group.querySelectorAll("input")])) {
                    chip.click();
                    places.add(Math.round(document.querySelector("#after").offsetTop));
                }
            }
            return [...places];
        }"""
    )
    assert len(places) == 1, places
    assert_within(page, width, ".tpx .dw-body > :not(.tpx-main)")


def test_without_scripts_the_picture_its_boxes_and_points_are_there(open_page, html):
    page = open_page(html, scripts=False)
    expect(page.locator(".tpx-panel image")).to_be_visible()
    assert page.locator(".tpx-box").count() == 8
    assert page.locator(".tpx-panel circle").count() > 50


@pytest.mark.parametrize(("theme", "width"), [("light", 800), ("dark", 800), ("dark", 360)])
def test_axe_finds_nothing(open_page, html, theme, width):
    page = open_page(html, theme=theme, width=width, style=STYLES["book"])
    for attention in ("decoder 2", "encoder 0"):
        choose(page, "Attention", attention)
        assert axe_violations(page) == []


def test_several_explorers_on_a_page_live_side_by_side(open_page, html):
    page = open_page(html, html)
    assert_ids_differ(page)
    page.locator(".tpx").nth(1).get_by_role("radio", name="encoder 0").check(force=True)
    texts = status(page).all_text_contents()
    assert "Decoder layer 2" in texts[0]
    assert "Encoder layer 0" in texts[1]


@pytest.mark.timing
def test_a_token_is_drawn_within_16_ms(open_page, html):
    page = open_page(html)
    choose(page, "Attention", "encoder 1")
    times = page.evaluate(
        """() => {
            const handle = document.querySelector(".tpx-handle");
            const times = [];
            for (let step = 0; step < 60; step += 1) {
                const key = ["ArrowRight", "ArrowDown", "ArrowLeft", "ArrowUp"][step % 4];
                const start = performance.now();
                handle.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true }));
                document.querySelector(".dw-body").getBoundingClientRect();
                times.push(performance.now() - start);
            }
            return times;
        }"""
    )
    assert float(np.median(times)) <= 16
