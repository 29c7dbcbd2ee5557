"""The built site, served on this machine, and a browser that may talk to nobody else."""

import os
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Response, sync_playwright

from tools.browser import find_browser, launch_options

ROOT = Path(__file__).resolve().parents[2]
AXE = ROOT / "tools" / "node_modules" / "axe-core" / "axe.min.js"
EMBEDDED_IMAGE = re.compile(r"data:image/[a-z+.-]+;base64,[A-Za-z0-9+/=]*")
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


class QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, *_) -> None:
        pass


@pytest.fixture(scope="session")
def site_address() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(QuietHandler, directory=str(SITE)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(**launch_options(find_browser()))
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
        self.context.route("**/*", self.only_this_site)
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
        self.page.on("response", lambda response: self.responses.append(response))

    def only_this_site(self, route) -> None:
        url = route.request.url
        if url.startswith(("data:", "blob:")) or urlsplit(url).netloc == urlsplit(self.address).netloc:
            route.continue_()
        else:
            self.strangers.append(url)
            route.abort()

    def open(self, path: str) -> Page:
        self.page.goto(f"{self.address}/{path}", wait_until="load")
        if path == "index.html":
            self.page.wait_for_url("**/book/index.html")
        self.page.evaluate("() => new Promise((done) => setTimeout(done, 60))")
        return self.page

    def forget(self) -> None:
        """Begin anew, as if nothing had been opened: the site may keep what a reader chose."""
        self.page.evaluate("() => { localStorage.clear(); sessionStorage.clear(); }")
        self.context.clear_cookies()
        self.page.goto("about:blank")
        for heard in (self.console, self.strangers, self.responses):
            heard.clear()

    def open_everything(self) -> None:
        """Open every fold and scroll through the page, so that all of it is drawn."""
        self.page.evaluate(
            """async () => {
                for (const fold of document.querySelectorAll("details")) fold.open = true;
                for (const image of document.images) image.loading = "eager";
                for (let y = 0; y < document.body.scrollHeight; y += innerHeight) {
                    scrollTo(0, y);
                    await new Promise((done) => setTimeout(done, 15));
                }
                scrollTo(0, 0);
                const draw = (image) => image.decode().catch(() => {});
                const drawn = Promise.all([...document.images].map(draw));
                await Promise.race([drawn, new Promise((done) => setTimeout(done, 10_000))]);
            }"""
        )


@dataclass(frozen=True)
class Facts:
    """What a look at a page showed: one theme, one width, everything open and drawn."""

    console: list[str]
    strangers: list[str]
    missing: list[str]
    weights: dict[str, int]
    findings: list[str]
    too_wide: list[str]
    images: list[dict]
    formulas: int
    rendered_formulas: int
    text: str


READ_PAGE = """() => {
    const copy = document.querySelector("main").cloneNode(true);
    for (const element of copy.querySelectorAll("pre, code, .katex, script, style")) element.remove();
    const beyond = [...document.querySelectorAll("body *")]
        .filter((element) => element.getBoundingClientRect().right > innerWidth + 1)
        .slice(0, 5).map((element) => element.outerHTML.slice(0, 120));
    return {
        too_wide: document.documentElement.scrollWidth <= innerWidth ? [] : beyond,
        images: [...document.querySelectorAll("main img")].map((image) => ({
            source: image.src.startsWith("data:") ? "embedded image" : image.src,
            alt: image.getAttribute("alt"),
            hidden: image.closest("[aria-hidden=true]") !== null,
            widget: image.closest(".output.text_html") !== null,
            sized: image.hasAttribute("width") && image.hasAttribute("height"),
        })),
        formulas: document.querySelectorAll(".math").length,
        rendered_formulas: document.querySelectorAll(".math .katex:not(.katex-error)").length,
        text: copy.textContent,
    };
}"""
RUN_AXE = "axe.run(document, {resultTypes: ['violations']}).then((result) => result.violations)"


def look_at(visit: Visit, path: str) -> Facts:
    page = visit.open(path)
    visit.open_everything()
    weights = {}
    for response in visit.responses:
        if response.request.resource_type != "image" and response.status < 400:
            body = response.body()
            if response.request.resource_type == "document":
                body = EMBEDDED_IMAGE.sub("", body.decode()).encode()
            weights[urlsplit(response.url).path] = len(body)
    read = page.evaluate(READ_PAGE)
    page.add_script_tag(content=AXE.read_text(encoding="utf-8"))
    findings = [
        f"{rule['id']} ({rule['impact']}): {rule['help']}: "
        + "; ".join(node["html"][:160] for node in rule["nodes"][:4])
        for rule in page.evaluate(RUN_AXE)
    ]
    missing = [response.url for response in visit.responses if response.status >= 400]
    return Facts(list(visit.console), list(visit.strangers), missing, weights, findings, **read)


@pytest.fixture(scope="session")
def facts(browser: Browser, site_address: str):
    """Look at a page once for each theme and width, however many tests ask.

    Looks of the same theme and width share a page of the browser, as a new one takes a second.
    """
    visits: dict[tuple[str, int], Visit] = {}
    known: dict[tuple[str, str, int], Facts] = {}

    def ask(path: str, theme: str = "light", width: int = 1280) -> Facts:
        key = (path, theme, width)
        if key not in known:
            # One that failed is not put back.
            visit = visits.pop((theme, width), None) or Visit(browser, site_address, theme, width)
            known[key] = look_at(visit, path)
            visit.forget()
            visits[theme, width] = visit
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
