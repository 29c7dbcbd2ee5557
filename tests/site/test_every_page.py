"""What holds for every page of the built site, in a real browser."""

import re
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from .conftest import ROOT, SITE

PAGE_BUDGET = 400_000
MACHINE_NAME = re.compile(r"^(\S*_build\S*|\S*\.(png|jpe?g|svg|webp)|<Figure size .*>)?$")
at_both_widths = pytest.mark.parametrize("width", [360, 1280])


@at_both_widths
def test_the_console_stays_silent_and_no_request_leaves_the_site(facts, content_page, width):
    seen = facts(content_page, width)
    assert seen.console == []
    assert seen.strangers == []
    assert seen.missing == []


@at_both_widths
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing(facts, content_page, theme, width):
    assert facts(content_page, width).findings[theme] == []


@at_both_widths
def test_a_page_does_not_scroll_sideways(facts, content_page, width):
    assert facts(content_page, width).too_wide == []


@at_both_widths
def test_nothing_moves_by_itself_where_less_motion_is_asked_for(facts, content_page, width):
    assert facts(content_page, width).moving == []


def test_a_page_weighs_at_most_400_kb_compressed_before_images(facts, content_page):
    weights = facts(content_page).weights
    assert f"/{content_page}" in weights
    total = sum(weights.values())
    assert total <= PAGE_BUDGET, f"{total:,} bytes: {sorted(weights.items(), key=lambda item: -item[1])}"


def test_every_widget_comes_to_life(facts, content_page):
    seen = facts(content_page)
    html = (SITE / content_page).read_text(encoding="utf-8")
    assert seen.widgets == html.count('class="detr-widget"')
    assert seen.sleeping_widgets == 0


def test_every_image_has_alternative_text_and_a_size(facts, content_page):
    for image in facts(content_page).images:
        if not image["hidden"]:
            assert image["alt"] is not None, image
            assert not MACHINE_NAME.match(image["alt"]), image
        assert image["widget"] or image["sized"] or image["source"].endswith(".svg"), image


def test_every_drawing_has_a_name_or_is_hidden_from_those_who_cannot_see_it(facts, content_page):
    assert facts(content_page).drawings == []


def test_all_mathematics_is_rendered(facts, content_page):
    seen = facts(content_page)
    assert seen.rendered_formulas == seen.formulas
    assert "$" not in seen.text
    assert not re.search(r"\\(frac|sum|hat|Delta|begin)\b", seen.text)


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


@cache
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
