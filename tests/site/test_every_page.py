"""What holds for every page of the built site, in a real browser."""

import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from .conftest import ROOT, SITE

AXE = ROOT / "tools" / "node_modules" / "axe-core" / "axe.min.js"
PAGE_BUDGET = 600_000
EMBEDDED_IMAGE = re.compile(r"data:image/[a-z+.-]+;base64,[A-Za-z0-9+/=]*")


def test_the_console_stays_silent_and_no_request_leaves_the_site(visit, page_path):
    here = visit()
    here.open(page_path)
    here.open_everything()
    assert here.console == []
    assert here.strangers == []
    missing = [response.url for response in here.responses if response.status >= 400]
    assert missing == []


def test_a_page_weighs_at_most_600_kb_before_images(visit, content_page):
    here = visit()
    here.open(content_page)
    here.open_everything()
    weights = {}
    for response in here.responses:
        if response.request.resource_type == "image":
            continue
        body = response.body()
        if response.request.resource_type == "document":
            body = EMBEDDED_IMAGE.sub("", body.decode()).encode()
        weights[urlsplit(response.url).path] = len(body)
    total = sum(weights.values())
    assert total <= PAGE_BUDGET, f"{total:,} bytes: {sorted(weights.items(), key=lambda item: -item[1])}"


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
def test_axe_finds_nothing(visit, content_page, theme, width):
    here = visit(theme, width)
    page = here.open(content_page)
    here.open_everything()
    page.add_script_tag(content=AXE.read_text(encoding="utf-8"))
    found = page.evaluate(
        "axe.run(document, {resultTypes: ['violations']}).then((result) => result.violations)"
    )
    told = [
        f"{rule['id']} ({rule['impact']}): {rule['help']}: "
        + "; ".join(node["html"][:160] for node in rule["nodes"][:4])
        for rule in found
    ]
    assert told == []


@pytest.mark.parametrize("width", [360, 1280])
def test_a_page_does_not_scroll_sideways(visit, content_page, width):
    here = visit(width=width)
    page = here.open(content_page)
    here.open_everything()
    wide = page.evaluate(
        """() => document.documentElement.scrollWidth <= innerWidth ? [] :
            [...document.querySelectorAll("body *")]
                .filter((element) => element.getBoundingClientRect().right > innerWidth + 1)
                .slice(0, 5).map((element) => element.outerHTML.slice(0, 120))"""
    )
    assert wide == []


def test_every_image_has_alternative_text_and_a_size(visit, content_page):
    page = visit().open(content_page)
    images = page.evaluate(
        """() => [...document.querySelectorAll("main img")].map((image) => ({
            source: image.src.startsWith("data:") ? "embedded image" : image.src,
            alt: image.getAttribute("alt"),
            hidden: image.closest("[aria-hidden=true]") !== null,
            own: image.closest(".output.text_html") !== null,
            sized: image.hasAttribute("width") && image.hasAttribute("height"),
        }))"""
    )
    machine_names = re.compile(r"^(\S*_build\S*|\S*\.(png|jpe?g|svg|webp)|<Figure size .*>)?$")
    for image in images:
        if not image["hidden"]:
            assert image["alt"] is not None, image
            assert image["alt"] != "", image
            assert not machine_names.match(image["alt"]), image
        assert image["own"] or image["sized"] or image["source"].endswith(".svg"), image


def test_all_mathematics_is_rendered(visit, content_page):
    page = visit().open(content_page)
    formulas = page.locator(".math").count()
    assert page.locator(".math .katex").count() == formulas
    assert page.locator(".katex-error").count() == 0
    text = page.evaluate(
        """() => { const copy = document.querySelector("main").cloneNode(true);
            for (const element of copy.querySelectorAll("pre, code, .katex, script, style")) element.remove();
            return copy.textContent; }"""
    )
    assert "$" not in text
    assert not re.search(r"\\(frac|sum|hat|Delta|begin)\b", text)


class Links(HTMLParser):
    def __init__(self, html: str):
        super().__init__()
        self.targets: list[str] = []
        self.ids: set[str] = set()
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name in ("id", "name") and value:
                self.ids.add(value)
            if name in ("href", "src") and value and tag != "base":
                self.targets.append(value)


def links_of(file: Path) -> Links:
    return Links(file.read_text(encoding="utf-8"))


def test_every_link_inside_the_site_leads_somewhere(page_path):
    file = SITE / page_path
    dangling = []
    for target in links_of(file).targets:
        parts = urlsplit(target)
        if parts.scheme or parts.netloc:
            continue
        goal = (file.parent / unquote(parts.path)).resolve() if parts.path else file
        if goal.is_dir():
            goal = goal / "index.html"
        if not goal.exists():
            dangling.append(target)
        elif parts.fragment and goal.suffix == ".html" and unquote(parts.fragment) not in links_of(goal).ids:
            dangling.append(target)
    assert dangling == []


def test_a_page_has_one_title_and_one_main_heading(page_path):
    html = (SITE / page_path).read_text(encoding="utf-8")
    assert len(re.findall(r"<title>[^<]+</title>", html)) == 1
    assert len(re.findall(r"<h1\b", html)) == 1
    assert '<html lang="en"' in html


def test_no_page_names_a_place_on_the_machine_that_built_it(page_path):
    html = (SITE / page_path).read_text(encoding="utf-8")
    assert str(ROOT) not in html
    assert not re.search(r"(?<![\w.])/(home|root|Users|tmp|work)/\w", html)
