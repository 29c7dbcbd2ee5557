"""What other programs read of a page: search engines, previews of links, reference managers.

The book's title, authors, version and keywords are those of CITATION.cff. Addresses are absolute where the
site's own is known (`baseurl` in _config.yml); without one, pages have no canonical address, no address for
citation and no site map, and the picture of a page has its place relative to the page.
"""

import json
from collections.abc import Iterator
from functools import cache
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import urljoin
from xml.sax.saxutils import escape as escape_xml

import yaml
from sphinx.application import Sphinx

from .cards import SIZE, first_figure, write_card

CITATION = Path(__file__).resolve().parents[3] / "CITATION.cff"
TEXT_LICENSE = "https://creativecommons.org/licenses/by/4.0/"
# Pages that no author writes; neither is in the site map.
ENTRY = "index"
MADE_PAGES = {
    "search": (
        "Search",
        "Search all chapters and reference pages of the book for a word, a symbol, or a function.",
    ),
    "404": (
        "Page not found",
        "There is no page at this address. The front page and the search of the book lead on.",
    ),
}


@cache
def citation() -> dict[str, Any]:
    return yaml.safe_load(CITATION.read_text(encoding="utf-8"))


def author_names() -> list[str]:
    return [
        author.get("name") or f"{author['given-names']} {author['family-names']}"
        for author in citation()["authors"]
    ]


def author_objects() -> list[dict[str, str]]:
    kinds = ["Organization" if "name" in author else "Person" for author in citation()["authors"]]
    return [{"@type": kind, "name": name} for kind, name in zip(kinds, author_names(), strict=True)]


def publication_date(app: Sphinx) -> str:
    """Return the day of the cited version as year/month/day, or the year where it has no day yet."""
    return str(citation().get("date-released", app.config.copyright)).replace("-", "/")


def description_of(app: Sphinx, pagename: str) -> str:
    """Return the page's `description`: front matter of a page, metadata of a notebook."""
    if pagename in MADE_PAGES:
        return MADE_PAGES[pagename][1]
    if pagename in (app.config.root_doc, ENTRY):
        return citation()["abstract"].strip()
    return app.env.metadata.get(pagename, {}).get("description", "")


def linked_data(app: Sphinx, page: dict[str, Any], kind: str) -> dict[str, Any]:
    """Return the page for schema.org: a chapter of the book, the book itself, or another page of it."""
    cited = citation()
    about = {
        "name": page["title"],
        "description": page["description"],
        "inLanguage": "en",
        "isAccessibleForFree": True,
        "license": TEXT_LICENSE,
        "author": author_objects(),
        "datePublished": publication_date(app).replace("/", "-"),
        "keywords": cited["keywords"],
    }
    if page["url"]:
        about |= {"url": page["url"], "image": page["image"]}
    book = {"@type": "Book", "name": cited["title"], "author": author_objects()}
    if site := app.config.html_baseurl:
        book["url"] = site
    if kind == "book":
        types = ["Book", "LearningResource"]
        about |= {"bookEdition": str(cited["version"]), "abstract": cited["abstract"].strip()}
    elif kind == "chapter":
        types = ["Chapter", "LearningResource"]
        about |= {"position": int(page["number"]), "learningResourceType": "tutorial", "isPartOf": book}
    else:
        types = ["WebPage"]
        about |= {"isPartOf": book}
    return {"@context": "https://schema.org", "@type": types, **about}


def citation_tags(app: Sphinx, page: dict[str, Any], kind: str) -> list[tuple[str, str]]:
    """Return what reference managers read, in the names of Highwire Press."""
    cited = citation()
    tags = [("citation_title", page["title"])]
    tags += [("citation_author", name) for name in author_names()]
    tags += [("citation_publication_date", publication_date(app)), ("citation_language", "en")]
    if kind != "book":
        tags.append(("citation_inbook_title", cited["title"]))
    tags += [("citation_keywords", "; ".join(cited["keywords"]))]
    if page["url"]:
        tags += [("citation_public_url", page["url"]), ("citation_fulltext_html_url", page["url"])]
    return tags


def head_of(app: Sphinx, pagename: str, title: str, number: str, context: dict, doctree) -> str:
    """Return the tags of a page's head that describe it."""
    is_document = pagename in app.env.found_docs
    kind = "book" if pagename in (app.config.root_doc, ENTRY) else "chapter" if number else "page"
    book = citation()["title"]
    description = description_of(app, pagename)
    figure = first_figure(app, doctree)
    place = write_card(app, pagename, number, title, figure[0] if figure else None)
    site = app.config.html_baseurl
    image = urljoin(site, place) if site else context["pathto"](place, resource=True)
    url = context.get("pageurl") if pagename != "404" else None
    alt = (
        f"{title}: {figure[1]}"
        if figure and figure[1]
        else f"{title}: a cup with the sampling points of a query"
    )
    page = {"title": title, "number": number, "description": description, "url": url, "image": image}

    tags = [f'<meta name="description" content="{escape(description)}">']
    if url:
        tags.append(f'<link rel="canonical" href="{escape(url)}">')
    properties = [
        ("og:type", "website" if kind == "book" else "article"),
        ("og:site_name", book),
        ("og:title", title),
        ("og:description", description),
        ("og:image", image),
        ("og:image:type", "image/jpeg"),
        ("og:image:width", str(SIZE[0])),
        ("og:image:height", str(SIZE[1])),
        ("og:image:alt", alt),
    ]
    properties += [("og:url", url)] if url else []
    names = [
        ("twitter:card", "summary_large_image"),
        ("twitter:title", title),
        ("twitter:description", description),
        ("twitter:image", image),
        ("twitter:image:alt", alt),
    ]
    names += citation_tags(app, page, kind) if is_document else []
    tags += [f'<meta property="{name}" content="{escape(text)}">' for name, text in properties]
    tags += [f'<meta name="{name}" content="{escape(text)}">' for name, text in names]
    if is_document:
        data = json.dumps(linked_data(app, page, kind), ensure_ascii=False).replace("<", "\\u003c")
        tags.append(f'<script type="application/ld+json">{data}</script>')
    return "\n".join(tags)


def with_absolute_links(app: Sphinx, context: dict) -> None:
    """Make the links of a page absolute where the site's address is known: it is shown at any address."""
    pathto = context["pathto"]
    context["pathto"] = lambda *arguments, **options: urljoin(
        app.config.html_baseurl, pathto(*arguments, **options)
    )


def pages_without_source(app: Sphinx) -> Iterator[tuple[str, dict[str, Any], str]]:
    """Add the page that is shown for a wrong address, and the entry page, which leads to the front page."""
    yield "404", {"title": MADE_PAGES["404"][0]}, "404.html"
    if app.config.root_doc != ENTRY:
        front = app.builder.get_target_uri(app.config.root_doc)
        site = app.config.html_baseurl
        yield (
            ENTRY,
            {"title": citation()["title"], "pageurl": urljoin(site, front) if site else None},
            "entry.html",
        )


def write_site_files(app: Sphinx, exception: Exception | None) -> None:
    """Write robots.txt, and the site map where the site's address is known."""
    if exception is not None or app.builder.format != "html":
        return
    site = app.config.html_baseurl
    robots = ["User-agent: *", "Allow: /"]
    if site:
        pages = [urljoin(site, app.builder.get_target_uri(name)) for name in sorted(app.env.found_docs)]
        entries = "".join(f"<url><loc>{escape_xml(page)}</loc></url>\n" for page in pages)
        Path(app.outdir, "sitemap.xml").write_text(
            '<?xml version="1.0" encoding="utf-8"?>\n'
            f'<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">\n{entries}</urlset>\n',
            encoding="utf-8",
        )
        robots.append(f"Sitemap: {urljoin(site, 'sitemap.xml')}")
    Path(app.outdir, "robots.txt").write_text("\n".join(robots) + "\n", encoding="utf-8")


def setup(app: Sphinx) -> None:
    app.connect("html-collect-pages", pages_without_source)
    app.connect("build-finished", write_site_files)
