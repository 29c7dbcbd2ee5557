"""Nothing in the built files makes a browser ask another host for anything; links wait for the reader."""

import re
from functools import cache
from html.parser import HTMLParser

import pytest

from .conftest import ROOT, SITE, pages_of

ELSEWHERE = re.compile(r"^\s*(?:https?:)?//")
NAMESPACE = re.compile(r"http://www\.w3\.org/(?:\d{4}|XML)/[\w/-]+")
ADDRESS = re.compile(r"""https?://[^\s"'`)]+""")
# What a browser loads by itself, element by element; `a` and `form` wait for the reader.
LOADS = ("src", "srcset", "poster", "data", "background", "xlink:href")
LINKS_FOR_MACHINES = {"canonical", "prev", "next", "author", "license", "alternate"}


class Loads(HTMLParser):
    """Everything that a page loads from somewhere else."""

    def __init__(self, html: str):
        super().__init__()
        self.found: list[str] = []
        self.inside = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        # a script with a type is data: the state of a widget, facts about the page
        self.inside = "" if tag == "script" and "json" in given.get("type", "") else tag
        places = [given[name] for name in LOADS if name in given]
        relation = set(given.get("rel", "").split())
        if "href" in given and tag != "a" and not (tag == "link" and relation <= LINKS_FOR_MACHINES):
            places.append(given["href"])
        places += re.findall(r"url\(['\"]?([^'\")]*)", given.get("style", ""))
        self.found += [f"<{tag}> {place}" for place in places if ELSEWHERE.match(place)]

    def handle_data(self, data: str) -> None:
        if self.inside == "style":
            self.found += strangers_in_style(data)
        if self.inside == "script":
            self.found += strangers_in_script(data)

    def handle_endtag(self, tag: str) -> None:
        self.inside = ""


def strangers_in_style(text: str) -> list[str]:
    places = re.findall(r"(?:url\(|@import)\s*(?:url\()?['\"]?([^'\")]*)", text)
    return [place for place in places if ELSEWHERE.match(place)]


def strangers_in_script(text: str) -> list[str]:
    """Addresses in a script: names of XML vocabularies are none."""
    code = re.sub(r"/\*.*?\*/|^\s*//.*$", "", text, flags=re.S | re.M)
    return [address for address in ADDRESS.findall(code) if not NAMESPACE.fullmatch(address)]


def test_a_page_loads_nothing_from_another_host(page_path):
    html = (SITE / page_path).read_text(encoding="utf-8")
    assert Loads(html).found == []


def test_styles_and_scripts_name_no_other_host():
    files = [
        file for file in SITE.rglob("*") if file.suffix in (".css", ".js") and file.name != "searchindex.js"
    ]
    assert any("widgets" in file.parts for file in files)
    for file in files:
        text = file.read_text(encoding="utf-8")
        found = strangers_in_style(text) if file.suffix == ".css" else strangers_in_script(text)
        assert found == [], file.name


@pytest.mark.parametrize(
    "html",
    [
        '<script src="https://cdn.example/a.js"></script>',
        '<link rel="stylesheet" href="//fonts.example/a.css">',
        '<link rel="preload prev" href="https://a.example/b">',
        '<img alt="" srcset="https://a.example/b.png 2x">',
        '<p style="background: url(https://a.example/b.png)">',
        "<style>@import 'https://a.example/b.css';</style>",
        '<script>fetch("https://a.example/b")</script>',
        '<svg><image href="https://a.example/b.png"/></svg>',
    ],
)
def test_what_would_leave_the_site_is_seen(html):
    assert len(Loads(html).found) == 1


@pytest.mark.parametrize(
    "html",
    [
        '<a href="https://a.example/">link</a>',
        '<link rel="canonical" href="https://a.example/">',
        "<p>https://a.b/</p>",
    ],
)
def test_a_link_that_waits_for_the_reader_is_none(html):
    assert Loads(html).found == []


@cache
def templates() -> str:
    return "\n".join(file.read_text(encoding="utf-8") for file in (ROOT / "book" / "theme").glob("*.html"))


def test_only_icons_that_are_used_are_drawn():
    drawn = set(re.findall(r'name == "(\w+)"', templates()))
    assert len(drawn) >= 5
    assert drawn == set(re.findall(r'icon\("(\w+)"\)', templates()))


def test_no_style_or_script_lies_in_the_site_that_no_page_loads():
    pages = "\n".join((SITE / page).read_text(encoding="utf-8") for page in pages_of(SITE))
    scripts = "\n".join(file.read_text(encoding="utf-8") for file in (SITE / "_static").glob("*.js"))
    for file in SITE.rglob("*"):
        if file.suffix in (".css", ".js"):
            assert file.name in pages or file.name in scripts, file.name
