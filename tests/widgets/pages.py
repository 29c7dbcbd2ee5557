"""What the page tests of all widgets do alike."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from playwright.sync_api import Page

ROOT = Path(__file__).resolve().parents[2]
STYLES = {"plain": "", "book": (ROOT / "book" / "_static" / "book.css").read_text(encoding="utf-8")}
AXE = ROOT / "js" / "node_modules" / "axe-core" / "axe.min.js"


def finger(page: Page) -> Callable[..., None]:
    """Give a function that sends one touch event, `touch("touchMove", (x, y))`, as a screen would."""
    session = page.context.new_cdp_session(page)

    def touch(kind: str, *points: tuple[float, float]) -> None:
        touches = [{"x": x, "y": y} for x, y in points]
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": touches})

    return touch


def drag_by_finger(
    touch: Callable[..., None], start: tuple[float, float], end: tuple[float, float], steps: int = 6
) -> None:
    """Put the finger of `finger` down, move it straight to another place in equal steps, and lift it."""
    touch("touchStart", start)
    for step in range(1, steps + 1):
        share = step / steps
        x, y = (before + (after - before) * share for before, after in zip(start, end, strict=True))
        touch("touchMove", (x, y))
    touch("touchEnd")


def assert_no_jump(open_page: Callable[..., Page], html: str, width: int, style: str) -> None:
    """What follows the widget stands where it stood before the widget's script ran."""
    places = []
    for scripts in (False, True):
        page = open_page(html, width=width, scripts=scripts, style=STYLES[style])
        box = page.locator("#after").bounding_box()
        assert box
        places.append(box["y"])
    asleep, awake = places
    assert abs(awake - asleep) <= 2


# What hands do, for scripts that run in the page: faster than the browser's own events, one after the other.
HANDS = """
    const one = (selector) => document.querySelector(selector);
    const all = (selector) => [...document.querySelectorAll(selector)];
    const press = (element, key, shiftKey = false) => element.dispatchEvent(
        new KeyboardEvent("keydown", { key, shiftKey, bubbles: true, cancelable: true }));
    const slide = (slider, value) => {
        slider.value = value;
        slider.dispatchEvent(new Event("input", { bubbles: true }));
    };
    // Take hold of an element; the answer moves it around in an area, a sixtieth of the way at a time.
    const drag = (element, area, reach) => {
        const box = area.getBoundingClientRect();
        const fire = (type, target, share) => target.dispatchEvent(new MouseEvent(type, {
            bubbles: true, cancelable: true, view: window,
            clientX: box.left + box.width * (0.5 + reach * Math.cos(share * 60)),
            clientY: box.top + box.height * (0.5 + reach * Math.sin(share * 17)),
        }));
        fire("mousedown", element, 0);
        return (step) => fire("mousemove", window, step / 60);
    };
"""


def assert_stays(page: Page, play: str) -> None:
    """What follows the widget stays in its place while a reader plays.

    Args:
        play: JavaScript with the functions of HANDS, and `note()`, which looks at the place.
    """
    places = page.evaluate(
        f"""() => {{
            {HANDS}
            const places = new Set();
            const note = () => places.add(Math.round(one("#after").offsetTop));
            note();
            {play}
            return [...places];
        }}"""
    )
    assert len(places) == 1, places


def assert_quick(page: Page, play: str, before: str = "") -> None:
    """Half of 60 steps are drawn within 16 ms each, style and layout included.

    Args:
        play: JavaScript of one step with the functions of HANDS; `step` counts from 0, and `arrow` is a key
            that leads around a square.
        before: JavaScript that runs once, before the first step.
    """
    times = page.evaluate(
        f"""() => {{
            {HANDS}
            const arrows = ["ArrowLeft", "ArrowUp", "ArrowRight", "ArrowDown"];
            const times = [];
            {before}
            for (let step = 0; step < 60; step += 1) {{
                const arrow = arrows[Math.floor(step / 4) % 4];
                const start = performance.now();
                {play}
                one(".dw-body").getBoundingClientRect();  // style and layout
                times.push(performance.now() - start);
            }}
            return times;
        }}"""
    )
    median = float(np.median(times))
    print(f"\nredraw after a step: median {median:.1f} ms, 95% {np.percentile(times, 95):.1f} ms")
    assert median <= 16


def assert_wheel_scrolls(page: Page, place: tuple[float, float]) -> None:
    """The wheel scrolls the page where the mouse is."""
    page.mouse.move(*place)
    page.mouse.wheel(0, 300)
    page.wait_for_function("scrollY > 0")


def assert_ids_differ(page: Page) -> None:
    ids = page.evaluate("[...document.querySelectorAll('[id]')].map(e => e.id)")
    assert len(ids) == len(set(ids))


def assert_within(page: Page, width: int, body: str) -> None:
    """The page does not scroll sideways, and nothing in the widget's body is cut off, drawings included.

    What leaves a drawing by its edge is cut off by the drawing, at every width alike.
    """
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate(
        """body => [...document.querySelectorAll(`${body} *`)]
            .filter((element) => !element.ownerSVGElement)
            .every((element) => element.getBoundingClientRect().right <= innerWidth + 1)""",
        body,
    )


def axe_violations(page: Page) -> list[list]:
    """What axe-core complains about in the widgets: rule, and the first elements that break it."""
    if not page.evaluate("'axe' in window"):
        page.add_script_tag(content=AXE.read_text(encoding="utf-8"))
    return page.evaluate(
        """async () => (await axe.run(".detr-widget")).violations
            .map((found) => [found.id, found.nodes.slice(0, 3).map((node) => node.html)])"""
    )
