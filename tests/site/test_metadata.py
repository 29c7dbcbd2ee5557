"""What search engines, link previews and reference managers read of a page; the ways to run a chapter."""

import json
import re
from dataclasses import dataclass, field
from html.parser import HTMLParser
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit
from xml.etree import ElementTree

import pytest
import yaml
from PIL import Image

from tools.repository import address_in, bootstrap_cell

from .conftest import ROOT, SITE, pages_of
from .test_build_fails_when_it_should import make_book

pytestmark = pytest.mark.xdist_group("metadata")  # one worker reads the site and builds the small book

CITATION = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
ADDRESS = address_in(ROOT)
ENTRY, NOT_FOUND, SEARCH = "index.html", "404.html", "search.html"
FRONT = "book/index.html"


@dataclass
class Head(HTMLParser):
    """The head of a page: its title, its meta tags by name, its canonical address and its linked data."""

    html: str
    title: str = ""
    meta: dict[str, list[str]] = field(default_factory=dict)
    canonical: str | None = None
    data: dict[str, Any] = field(default_factory=dict)
    alts: list[str] = field(default_factory=list)
    links: list[tuple[dict[str, str], str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()
        self.inside = ""
        self.feed(self.html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        self.inside = values.get("type", "") if tag == "script" else tag
        if tag == "meta":
            name = values.get("name") or values.get("property", "")
            self.meta.setdefault(name, []).append(values.get("content", ""))
        if tag == "link" and values["rel"] == "canonical":
            self.canonical = values["href"]
        if tag == "img":
            self.alts.append(values.get("alt", ""))
        if tag == "a":
            self.links.append((values, ""))

    def handle_endtag(self, tag: str) -> None:
        self.inside = ""

    def handle_data(self, data: str) -> None:
        if self.inside == "title":
            self.title = data
        if self.inside == "application/ld+json":
            self.data = json.loads(data)
        if self.links:
            self.links[-1] = (self.links[-1][0], self.links[-1][1] + data)

    def one(self, name: str) -> str:
        [value] = self.meta[name]
        return value


def heads_of(site: Path) -> dict[str, Head]:
    pages = pages_of(site)
    if not pages:
        pytest.fail(f"there is no site in {site.name}: run make book first", pytrace=False)
    return {page: Head((site / page).read_text(encoding="utf-8")) for page in pages}


@pytest.fixture(scope="module")
def heads() -> dict[str, Head]:
    return heads_of(SITE)


def documents(heads: dict[str, Head]) -> dict[str, Head]:
    """Return the pages that an author wrote."""
    return {page: head for page, head in heads.items() if page not in (ENTRY, NOT_FOUND, SEARCH)}


def test_every_page_has_a_whole_description_of_its_own(heads):
    descriptions = {page: head.one("description") for page, head in heads.items() if page != ENTRY}
    for page, text in descriptions.items():
        assert 50 <= len(text) <= 160, f"{page}: {len(text)} characters"
        assert text.endswith("."), f"{page}: {text}"
        assert not text.endswith("..."), f"{page} needs a description in its metadata: {text}"
    assert len(set(descriptions.values())) == len(descriptions)
    assert heads[ENTRY].one("description") == descriptions[FRONT] == CITATION["abstract"].strip()


def test_every_page_has_a_preview_with_a_picture_of_its_own(heads):
    pictures = {}
    for page, head in heads.items():
        assert head.one("og:title") == head.one("twitter:title") == head.title.split(" · ")[0], page
        assert head.one("og:description") == head.one("twitter:description") == head.one("description"), page
        assert head.one("og:site_name") == CITATION["title"]
        assert head.one("og:type") == ("website" if page in (FRONT, ENTRY) else "article")
        assert head.one("twitter:card") == "summary_large_image"
        assert head.one("og:image") == head.one("twitter:image")
        assert len(head.one("og:image:alt")) >= 20
        assert head.one("og:image:alt") == head.one("twitter:image:alt")
        place = head.one("og:image")
        file = SITE / place.removeprefix(ADDRESS.site) if ADDRESS.site else (SITE / page).parent / place
        pictures[page] = file.read_bytes()
        assert len(pictures[page]) < 100_000, page
        with Image.open(BytesIO(pictures[page])) as image:
            assert (image.format, image.size) == ("JPEG", (1200, 630))
        assert (head.one("og:image:width"), head.one("og:image:height")) == ("1200", "630")
    assert pictures.pop(ENTRY) == pictures[FRONT]
    assert len(set(pictures.values())) == len(pictures)


def test_chapters_show_their_own_figure_in_their_picture(heads):
    for page, head in heads.items():
        if page.startswith("notebooks/"):
            assert head.one("og:image:alt").removeprefix(f"{head.one('og:title')}: ") in head.alts, page


def test_every_written_page_can_be_cited_as_the_citation_file_says(heads):
    authors = [author["name"] for author in CITATION["authors"]]
    for page, head in documents(heads).items():
        assert head.one("citation_title") == head.one("og:title")
        assert head.meta["citation_author"] == authors
        assert re.fullmatch(r"\d{4}(/\d\d/\d\d)?", head.one("citation_publication_date"))
        assert head.one("citation_language") == "en"
        assert head.one("citation_keywords").split("; ") == CITATION["keywords"]
        if page != FRONT:
            assert head.one("citation_inbook_title") == CITATION["title"]
        data = head.data
        assert data["@context"] == "https://schema.org"
        assert data["name"] == head.one("og:title")
        assert data["description"] == head.one("description")
        assert [author["name"] for author in data["author"]] == authors
        assert data["keywords"] == CITATION["keywords"]
        book = data if page == FRONT else data["isPartOf"]
        assert book["name"] == CITATION["title"]


def test_chapters_are_chapters_and_the_front_page_is_the_book(heads):
    found = documents(heads)
    assert found[FRONT].data["@type"] == ["Book", "LearningResource"]
    assert found[FRONT].data["bookEdition"] == str(CITATION["version"])
    chapters = [head.data for page, head in sorted(found.items()) if page.startswith("notebooks/")]
    assert [data["@type"] for data in chapters] == [["Chapter", "LearningResource"]] * len(chapters)
    assert [data["position"] for data in chapters] == list(range(1, len(chapters) + 1))


def test_pages_made_by_the_build_are_not_offered_for_citation(heads):
    for page in (ENTRY, NOT_FOUND, SEARCH):
        assert heads[page].data == {}
        assert not [name for name in heads[page].meta if name.startswith("citation_")]


def test_addresses_are_absolute_or_left_out(heads):
    for page, head in heads.items():
        canonical = urljoin(ADDRESS.site, FRONT if page == ENTRY else page)
        if not ADDRESS.site or page == NOT_FOUND:
            assert head.canonical is None
            assert "og:url" not in head.meta
            assert "citation_public_url" not in head.meta
        else:
            assert head.canonical == head.one("og:url") == canonical
    assert (SITE / "sitemap.xml").exists() == bool(ADDRESS.site)


def test_robots_may_read_everything():
    robots = (SITE / "robots.txt").read_text(encoding="utf-8")
    assert robots.startswith("User-agent: *\nAllow: /\n")
    assert ("Sitemap:" in robots) == bool(ADDRESS.site)


def test_the_entry_page_leads_to_the_front_page(heads):
    assert f"0; url={FRONT}" in heads[ENTRY].meta[""]
    assert [link["href"] for link, _ in heads[ENTRY].links] == [FRONT]


# Ways to run a chapter


def ways_to_run(head: Head) -> dict[str, dict[str, str]]:
    found = re.findall(r'<ul class="get".*?</ul>', head.html, flags=re.S)
    return {text.strip(): link for part in found for link, text in Head(part).links}


def test_a_chapter_offers_its_notebook_as_it_is_in_the_project_and_says_how_to_run_it(heads):
    for page, head in heads.items():
        ways = ways_to_run(head)
        if not page.startswith("notebooks/"):
            assert ways == {}
            continue
        link = ways["Download the notebook"]
        assert "download" in link
        file = (SITE / page).parent / link["href"]
        committed = ROOT / page.replace(".html", ".ipynb")
        assert file.name == committed.name
        assert file.read_bytes() == committed.read_bytes(), "built from another version of the notebook"
        assert '"outputs": [\n' in file.read_text(encoding="utf-8")
        assert ways["Run it on your computer"]["href"] == "../book/how_to_read.html#running-the-code"
        assert ("Open in Colab" in ways) == bool(ADDRESS.repository)


def test_the_bootstrap_cell_is_not_on_the_page(heads):
    first = bootstrap_cell("01", ADDRESS)["source"][0].strip()
    for page, head in heads.items():
        assert first not in head.html, page
        assert "find_spec" not in re.sub(r"<[^>]*>", "", head.html), page


# A book with an address


@pytest.fixture(scope="module")
def addressed(tmp_path_factory) -> Path:
    """The site of a small book with the address of a made-up repository."""

    def change(config: dict[str, Any]) -> None:
        config["repository"]["url"] = "https://github.com/quokka/numbat"
        config["repository"]["branch"] = "v1.0"
        config["html"]["baseurl"] = SMALL
        config["execute"]["execute_notebooks"] = "off"

    folder = tmp_path_factory.mktemp("addressed")
    result = make_book(folder, "Some text.", "1", change)
    assert result.returncode == 0, result.stderr
    return folder / "_build" / "html"


SMALL = "https://quokka.github.io/numbat/"


def test_with_an_address_every_tag_that_needs_one_is_there_and_absolute(addressed):
    for page, head in heads_of(addressed).items():
        place = urlsplit(head.one("og:image")).path.removeprefix("/numbat/")
        assert head.one("og:image") == SMALL + place == head.one("twitter:image")
        assert (addressed / place).is_file()
        if page == NOT_FOUND:
            assert head.canonical is None
            continue
        assert head.canonical == head.one("og:url") == SMALL + ("intro.html" if page == ENTRY else page)
        if page in (ENTRY, SEARCH):
            continue
        assert head.one("citation_public_url") == head.one("citation_fulltext_html_url") == SMALL + page
        assert head.data["url"] == SMALL + page
        assert head.data["image"] == head.one("og:image")
    assert heads_of(addressed)["10_small.html"].data["isPartOf"]["url"] == SMALL


def test_the_site_map_lists_every_written_page_and_robots_find_it(addressed):
    name = "{http://www.sitemaps.org/schemas/sitemap/0.9}"
    root = ElementTree.parse(addressed / "sitemap.xml").getroot()
    assert root.tag == f"{name}urlset"
    places = [place.text for place in root.iter(f"{name}loc")]
    assert places == [SMALL + "10_small.html", SMALL + "intro.html"]
    robots = (addressed / "robots.txt").read_text(encoding="utf-8").splitlines()
    assert robots[-1] == f"Sitemap: {SMALL}sitemap.xml"


def test_the_page_for_wrong_addresses_needs_nothing_relative_to_itself(addressed):
    html = (addressed / NOT_FOUND).read_text(encoding="utf-8")
    targets = re.findall(r'(?:href|src|action)="([^"]*)"', html)
    assert set(targets) == {"data:,", SMALL + "intro.html", SMALL + "search.html"}


def test_a_chapter_opens_in_colab_at_the_branch_or_tag_of_the_book(addressed):
    link = ways_to_run(heads_of(addressed)["10_small.html"])["Open in Colab"]
    assert link["href"] == "https://colab.research.google.com/github/quokka/numbat/blob/v1.0/10_small.ipynb"
