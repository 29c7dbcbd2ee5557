"""The built site, served on this machine, and a browser that may talk to nobody else."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Request, Response, sync_playwright

from tools.browser import find_browser, launch_options
from tools.serve import sent, served

ROOT = Path(__file__).resolve().parents[2]
AXE = ROOT / "tools" / "node_modules" / "axe-core" / "axe.min.js"
SITE = Path(os.environ.get("DETR_TUTORIAL_SITE", ROOT / "_build" / "html"))


def pages_of(site: Path) -> list[str]:
    """Return the path of every page of the site."""
    return sorted(
        file.relative_to(site).as_posix()
        for file in site.rglob("*.html")
        if not {"_static", "_sources"} & set(file.relative_to(site).parts)
    )


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "page_path" in metafunc.fixturenames:
        pages = pages_of(SITE)
        if not pages:
            pytest.fail(f"there is no site in {SITE.name}: run make book first", pytrace=False)
        if "content_page" in metafunc.fixturenames:
            pages = [page for page in pages if page != "index.html"]
        # With --dist=loadgroup, one worker looks at all of a page.
        metafunc.parametrize(
            "page_path", [pytest.param(page, marks=pytest.mark.xdist_group(page), id=page) for page in pages]
        )


@pytest.fixture
def content_page(page_path: str) -> str:
    """A page with text of its own: all but the entry page, which leads on to the front page."""
    return page_path


@pytest.fixture(scope="session")
def site_address() -> Iterator[str]:
    with served(SITE) as address:
        yield address


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        options = launch_options(find_browser())
        # no name leads anywhere, so that a stranger is not even asked
        options["args"].append("--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1")
        browser = playwright.chromium.launch(**options)
        yield browser
        browser.close()


class Visit:
    """A page in the browser with everything it said, asked for and received."""

    def __init__(self, browser: Browser, address: str, theme: str = "light", width: int = 1280):
        self.address = address
        self.console: list[str] = []
        self.strangers: list[str] = []
        self.responses: list[Response] = []
        self.context: BrowserContext = browser.new_context(
            viewport={"width": width, "height": 900},
            color_scheme=theme,  # pyright: ignore[reportArgumentType]
            reduced_motion="reduce",
        )
        self.page: Page = self.context.new_page()
        self.page.on(
            "console",
            lambda message: (
                self.console.append(f"{message.type}: {message.text}")
                if message.type in ("error", "warning")
                else None
            ),
        )
        self.page.on("pageerror", lambda error: self.console.append(f"exception: {error}"))
        self.page.on("request", self.note_stranger)
        self.page.on("response", lambda response: self.responses.append(response))

    def note_stranger(self, request: Request) -> None:
        if not request.url.startswith(("data:", "blob:", self.address)):
            self.strangers.append(request.url)

    def open(self, path: str) -> Page:
        self.page.goto(f"{self.address}/{path}", wait_until="load")
        if path == "index.html":
            self.page.wait_for_url("**/book/index.html")
        return self.page

    def forget(self) -> None:
        """Begin anew, as if nothing had been opened: the site may keep what a reader chose."""
        self.page.evaluate("() => { localStorage.clear(); sessionStorage.clear(); }")
        self.context.clear_cookies()
        self.page.goto("about:blank")
        self.show("light")
        for heard in (self.console, self.strangers, self.responses):
            heard.clear()

    def show(self, theme: str) -> None:
        """Let the system change to a theme, and wait until the page is drawn in it."""
        self.page.emulate_media(color_scheme=theme)  # pyright: ignore[reportArgumentType]
        self.page.evaluate(
            "new Promise((drawn) => requestAnimationFrame(() => requestAnimationFrame(drawn)))"
        )

    def open_everything(self) -> None:
        """Open every fold and scroll through the page, so that all of it is drawn and every widget lives."""
        self.page.evaluate(
            """async () => {
                for (const fold of document.querySelectorAll("details")) fold.open = true;
                for (const image of document.images) image.loading = "eager";
                for (let y = 0; y < document.body.scrollHeight; y += innerHeight) {
                    scrollTo(0, y);
                    await new Promise((done) => setTimeout(done, 5));
                }
                scrollTo(0, 0);
                const loaded = [...document.images].filter((image) => !image.complete).map(
                    (image) => new Promise((done) => (image.onload = image.onerror = done))
                );
                const widgets = async () => {
                    while (document.querySelector(".detr-widget:not([data-alive])"))
                        await new Promise((done) => setTimeout(done, 20));
                };
                const late = new Promise((done) => setTimeout(done, 10_000));
                await Promise.race([Promise.all([...loaded, widgets()]), late]);
            }"""
        )


@dataclass(frozen=True)
class Facts:
    """What a look at a page showed at one width, in both themes, everything open and drawn."""

    console: list[str]
    strangers: list[str]
    missing: list[str]
    weights: dict[str, int]
    findings: dict[str, list[str]]
    too_wide: list[str]
    images: list[dict]
    drawings: list[str]
    moving: list[str]
    widgets: int
    sleeping_widgets: int
    formulas: int
    rendered_formulas: int
    text: str


READ_PAGE = """() => {
    const copy = document.querySelector("main").cloneNode(true);
    for (const element of copy.querySelectorAll("pre, code, .katex, script, style")) element.remove();
    const all = [...document.querySelectorAll("body *")];
    const begins = (elements) => elements.slice(0, 5).map((element) => element.outerHTML.slice(0, 120));
    const moves = (element) => {
        const style = getComputedStyle(element);
        return style.transitionDuration.split(", ").some((time) => parseFloat(time) > 0)
            || style.animationName !== "none" || style.scrollBehavior === "smooth";
    };
    const named = (drawing) => drawing.closest("[aria-hidden=true], .widget-picture, button, .brand")
        || (drawing.getAttribute("role") && drawing.hasAttribute("aria-label"))
        || drawing.closest("[role=img][aria-label], [role=group][aria-label]");
    return {
        too_wide: document.documentElement.scrollWidth <= innerWidth ? []
            : begins(all.filter((element) => element.getBoundingClientRect().right > innerWidth + 1)),
        images: [...document.querySelectorAll("main img")].map((image) => ({
            source: image.src.startsWith("data:") ? "embedded image" : image.src,
            alt: image.getAttribute("alt"),
            hidden: image.closest("[aria-hidden=true]") !== null,
            widget: image.closest(".output.text_html") !== null,
            sized: image.hasAttribute("width") && image.hasAttribute("height"),
        })),
        drawings: begins([...document.querySelectorAll("main svg")].filter((drawing) => !named(drawing))),
        moving: begins([document.documentElement, ...all].filter(moves)),
        widgets: document.querySelectorAll(".detr-widget").length,
        sleeping_widgets: document.querySelectorAll(".detr-widget:not([data-alive])").length,
        formulas: document.querySelectorAll(".math").length,
        rendered_formulas: document.querySelectorAll(".math .katex:not(.katex-error)").length,
        text: copy.textContent,
    };
}"""
RUN_AXE = "axe.run(document, {resultTypes: ['violations']}).then((result) => result.violations)"


def axe_findings(page: Page) -> list[str]:
    return [
        f"{rule['id']} ({rule['impact']}): {rule['help']}: "
        + "; ".join(node["html"][:160] for node in rule["nodes"][:4])
        for rule in page.evaluate(RUN_AXE)
    ]


def look_at(visit: Visit, path: str) -> Facts:
    page = visit.open(path)
    visit.open_everything()
    # as they travel, whether or not this browser had them already
    weights = {
        place: len(sent(SITE / place.lstrip("/")))
        for response in visit.responses
        if response.request.resource_type != "image" and response.status < 400
        if (place := urlsplit(response.url).path) and response.url.startswith(visit.address)
    }
    read = page.evaluate(READ_PAGE)
    page.add_script_tag(content=AXE.read_text(encoding="utf-8"))
    findings = {}
    for theme in ("light", "dark"):
        visit.show(theme)
        findings[theme] = axe_findings(page)
    missing = [response.url for response in visit.responses if response.status >= 400]
    return Facts(list(visit.console), list(visit.strangers), missing, weights, findings, **read)


@pytest.fixture(scope="session")
def facts(browser: Browser, site_address: str):
    """Look at a page once for each width, however many tests ask.

    Looks of the same width share a page of the browser, as a new one takes a second.
    """
    visits: dict[int, Visit] = {}
    known: dict[tuple[str, int], Facts] = {}

    def ask(path: str, width: int = 1280) -> Facts:
        key = (path, width)
        if key not in known:
            # One that failed is not put back.
            visit = visits.pop(width, None) or Visit(browser, site_address, width=width)
            known[key] = look_at(visit, path)
            visit.forget()
            visits[width] = visit
        return known[key]

    return ask


@pytest.fixture
def visit(browser: Browser, site_address: str):
    visits: list[Visit] = []

    def start(theme: str = "light", width: int = 1280) -> Visit:
        visits.append(Visit(browser, site_address, theme, width))
        return visits[-1]

    yield start
    for one in visits:
        one.context.close()
