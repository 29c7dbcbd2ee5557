"""What the templates need to know about a page: its place in the book, its files, its cost."""

import re
from typing import Any

from sphinx.application import Sphinx

from . import launch, metadata
from .images import size_images
from .late_widgets import with_late_widgets
from .measure import cost_of
from .syntax import without_plain_spans

NUMBER = re.compile(r"(?:.*/)?(\d\d)_[^/]*$")
MATH_STYLE = "katex/katex.css"


def plain(text: str) -> str:
    return re.sub(r"\s+", " ", text).strip()


def chapter_number(docname: str) -> str:
    """Return the two digits that a chapter's file name begins with, or nothing."""
    match = NUMBER.match(docname)
    return match.group(1) if match else ""


def title_of(app: Sphinx, docname: str) -> str:
    title = app.env.titles.get(docname)
    text = plain(title.astext()) if title is not None else docname
    number = chapter_number(docname)
    return re.sub(rf"^(?:chapter\s+)?0?{int(number)}\s*[.:·-]?\s+", "", text, flags=re.I) if number else text


def parts_of(app: Sphinx, pagename: str, pathto) -> list[dict[str, Any]]:
    """Return the book's parts, each with its caption and pages, in the order of _toc.yml."""
    site_map = app.config.external_site_map
    parts = []
    for tree in site_map.root.subtrees:
        pages = [
            {
                "docname": docname,
                "title": title_of(app, docname),
                "number": chapter_number(docname),
                "href": pathto(docname),
                "current": docname == pagename,
            }
            for docname in (name.removesuffix(".md").removesuffix(".ipynb") for name in tree.files())
            if docname in app.env.found_docs
        ]
        if pages:
            parts.append({"caption": tree.caption or "", "pages": pages})
    return parts


def without_title_link(toc: str) -> str:
    """Return a page's contents below its title: the list inside the title's own entry."""
    start = toc.find("<ul>", toc.find("<ul>") + 4)
    end = toc.rfind("</ul>", 0, toc.rfind("</ul>"))
    return toc[start : end + 5] if 0 <= start < end else ""


def plain_roles(body: str) -> str:
    """Return the body without roles that citations and footnotes claim in the wrong places.

    Docutils writes a list role around entries that are no list items, and asides inside the main text.
    """
    body = re.sub(
        r'(<div[^>]*class="(?:citation|citation-list|footnote-list)[^"]*"[^>]*?) role="[^"]*"', r"\1", body
    )
    body = re.sub(r'<div role="list" (class="citation-list)', r"<div \1", body)
    body = body.replace("<aside", "<div").replace("</aside>", "</div>")
    # The arguments of a signature, one a line, are no list of definitions.
    body = re.sub(r'<dt class="sig.*?</dt>', lambda sig: plain_lines(sig[0]), body, flags=re.S)
    # The corner of a table with row headings is no heading.
    body = re.sub(r"<th\b([^>]*)>\s*(?:<p>\s*</p>)?\s*</th>", r"<td\1></td>", body)
    return re.sub(r"<a\b([^>]*)>((?:(?!</a>).)*)</a>", name_link, body, flags=re.S)


def plain_lines(signature: str) -> str:
    """Return a signature with its arguments in plain blocks instead of a list."""
    signature = signature.replace("<dl>", '<div class="arguments">').replace("</dl>", "</div>")
    return signature.replace("<dd>", "<div>").replace("</dd>", "</div>")


def name_link(link: re.Match[str]) -> str:
    """Return the link, with its formula as its name when it holds nothing else that can be read aloud."""
    attributes, content = link.groups()
    formulas = re.findall(r"<annotation[^>]*>(.*?)</annotation>", content, flags=re.S)
    outside = re.sub(r'<span class="math"><span class="katex">.*</span>', "", content, flags=re.S)
    if not formulas or re.sub(r"<[^>]*>", "", outside).strip() or "aria-label" in attributes:
        return link.group(0)
    name = " ".join(formulas).replace('"', "&quot;")
    return f'<a{attributes} aria-label="{name}">{content}</a>'


def page_context(app: Sphinx, pagename: str, templatename: str, context: dict, doctree) -> None:
    if app.builder.format != "html":
        return
    if pagename == "404":
        metadata.with_absolute_links(app, context)
    body = context.get("body", "")
    if pagename in app.env.found_docs:
        body = with_late_widgets(app, body, context["pathto"])
        # the first picture of a page of text may be in view at once; a chapter begins with text
        lazy_from = 0 if chapter_number(pagename) else 1
        context["body"] = body = size_images(app, without_plain_spans(plain_roles(body)), lazy_from)
        context["chapter_number"] = chapter_number(pagename)
        # most chapters say their number in the title themselves
        context["title_has_number"] = title_of(app, pagename) != plain(app.env.titles[pagename].astext())
        context["cost"] = cost_of(app, pagename)
        context["page_toc"] = without_title_link(context.get("toc", ""))
        source = app.env.doc2path(pagename, base=False)
        context["is_notebook"] = str(source).endswith(".ipynb")
        context["notebook_source"] = f"_sources/{source}" if context["is_notebook"] else ""
        context["colab"] = launch.colab_address(app, str(source)) if context["is_notebook"] else ""
    context["parts"] = parts_of(app, pagename, context["pathto"])
    context["home"] = app.config.root_doc
    is_page = pagename in app.env.found_docs
    title = title_of(app, pagename) if is_page else context.get("title") or metadata.MADE_PAGES[pagename][0]
    context["page_title"] = title
    context["metadata"] = metadata.head_of(app, pagename, title, chapter_number(pagename), context, doctree)
    context["uses_math"] = 'class="katex"' in body or 'class="katex"' in context.get("toc", "")


def setup(app: Sphinx) -> None:
    launch.setup(app)
    metadata.setup(app)
    app.connect("html-page-context", page_context, priority=900)
