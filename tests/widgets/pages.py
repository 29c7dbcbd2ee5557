"""What the page tests of all widgets do alike."""

from collections.abc import Callable
from pathlib import Path

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
