"""The built site, served on this machine, and a browser that may talk to nobody else."""

import os
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Response, sync_playwright

from tools.browser import find_browser, launch_options

ROOT = Path(__file__).resolve().parents[2]
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
        metafunc.parametrize("page_path", pages)


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

    def open_everything(self) -> None:
        """Open every fold and scroll through the page, so that all of it is drawn."""
        self.page.evaluate(
            """async () => {
                for (const fold of document.querySelectorAll("details")) fold.open = true;
                for (let y = 0; y < document.body.scrollHeight; y += innerHeight) {
                    scrollTo(0, y);
                    await new Promise((done) => setTimeout(done, 15));
                }
                scrollTo(0, 0);
                await Promise.all([...document.images].map((image) => image.decode().catch(() => {})));
            }"""
        )


@pytest.fixture
def visit(browser: Browser, site_address: str):
    visits: list[Visit] = []

    def start(theme: str = "light", width: int = 1280) -> Visit:
        visits.append(Visit(browser, site_address, theme, width))
        return visits[-1]

    yield start
    for one in visits:
        one.context.close()
