"""A scene, its explorer, and the explorer's page in a real browser."""

from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from detr_tutorial.widgets import SamplingPointsExplorer
from tests.widgets.scenes import Example, example
from tools.browser import find_browser, launch_options

PAGE = """<!doctype html>
<html lang="en"{theme}><head><meta charset="utf-8"><title>Explorer</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>body {{ margin: 0; font-family: sans-serif; background: {ground} }}</style>
<style>{style}</style></head>
<body><main style="max-width: 912px; margin: auto; padding: 8px"><div class="page"><h1>Explorer</h1>
<div class="cell"><div class="cell_output"><div class="output text_html">{widgets}</div></div></div>
<p id="after">What follows.</p><div style="height: 2000px"></div></div></main></body></html>
"""


@pytest.fixture(scope="session")
def scene() -> Example:
    return example()


@pytest.fixture(scope="session")
def made_explorer(scene: Example) -> SamplingPointsExplorer:
    return SamplingPointsExplorer(scene.attention, scene.flattened, scene.images[0])


@pytest.fixture
def explorer(made_explorer: SamplingPointsExplorer) -> Iterator[SamplingPointsExplorer]:
    """The explorer in its starting state; making one takes a while, so it is put back after each test."""
    start = {name: getattr(made_explorer, name) for name in ("query", "head", "level")}
    yield made_explorer
    made_explorer.unobserve_all("head")
    for name, value in start.items():
        setattr(made_explorer, name, value)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(**launch_options(find_browser()))
        yield browser
        browser.close()


class Tab:
    """A page of the browser with what it complained about and asked for."""

    def __init__(self, context: BrowserContext):
        self.page = context.new_page()
        self.complaints: list[str] = []
        self.requests: list[str] = []
        self.page.on("console", lambda message: self.complaints.append(f"{message.type}: {message.text}"))
        self.page.on("pageerror", lambda error: self.complaints.append(f"exception: {error}"))
        self.page.on("request", lambda request: self.requests.append(request.url))

    def clear(self) -> None:
        """Leave nothing of the last document behind: no pressed button, no hovering mouse, no script."""
        self.page.mouse.up()
        self.page.mouse.move(0, 0)
        self.page.goto("about:blank")
        self.complaints.clear()
        self.requests.clear()


Tabs = dict[tuple, list[Tab]]


@pytest.fixture(scope="session")
def idle_tabs() -> Tabs:
    """The tabs that no test uses now, by the options of their context.

    To make a tab costs four times as much as to open a page in it, so one test after another uses it.
    """
    return defaultdict(list)


OpenPage = Callable[..., Page]


@pytest.fixture
def open_page(browser: Browser, idle_tabs: Tabs, tmp_path: Path) -> Iterator[OpenPage]:
    """Open a page with these widgets; at the end nothing may have been complained about or asked for."""
    used: list[tuple[list[Tab], Tab]] = []

    def start(
        *widgets: str,
        width: int = 800,
        theme: str | None = "light",
        scripts: bool = True,
        style: str = "",
        **context: Any,
    ) -> Page:
        file = tmp_path / "page.html"
        attribute = f' data-theme="{theme}"' if theme else ""
        dark = theme == "dark" or (theme is None and context.get("color_scheme") == "dark")
        ground = "#121212" if dark else "#ffffff"
        file.write_text(
            PAGE.format(theme=attribute, ground=ground, style=style, widgets="\n".join(widgets)),
            encoding="utf-8",
        )
        options = {"java_script_enabled": scripts, **context}
        idle = idle_tabs[tuple(sorted(options.items()))]
        tab = idle.pop() if idle else Tab(browser.new_context(**options))
        used.append((idle, tab))
        tab.page.set_viewport_size({"width": width, "height": 900})
        tab.page.goto(file.as_uri())
        if scripts:
            tab.page.wait_for_selector("[data-alive] .dw-body")
        return tab.page

    yield start
    complaints = [complaint for _, tab in used for complaint in tab.complaints]
    requests = [url for _, tab in used for url in tab.requests]
    for idle, tab in used:
        tab.clear()
        idle.append(tab)
    assert complaints == []
    assert [url for url in requests if not url.startswith(("data:", "file:"))] == []
