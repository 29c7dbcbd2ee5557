"""Places that other pages point to: cells by their id, chapters by number, solutions by exercise.

[the cell](#ch10-half-cost)    a code cell of a notebook, by its id; an unknown one is a warning
{chapter}`10`                  "chapter 10", a link as soon as that chapter is in the book
{test}`tests/a.py::test_b_c`   "b c", and the file; an unknown test is a warning
```{solutions}```              every exercise of every chapter, with its folded solution
"""

import json
import re
from pathlib import Path
from typing import Any, NamedTuple

from docutils import nodes
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.builders import Builder
from sphinx.environment import BuildEnvironment
from sphinx.util import logging
from sphinx.util.docutils import ReferenceRole, SphinxDirective, SphinxRole

logger = logging.getLogger(__name__)
ROOT = Path(__file__).resolve().parents[3]

NOTEBOOK = re.compile(r"(?:.*/)?(\d\d)_[^/]*$")


class Exercise(NamedTuple):
    """One exercise of a chapter: its heading, and where it and its solutions stand on the page."""

    title: list[nodes.Node]
    place: str
    solutions: list[str]


class SolutionsList(nodes.General, nodes.Element):
    """Stands for the list of all solutions until every chapter has been read."""


def kept(env: BuildEnvironment, name: str) -> dict[str, Any]:
    """Return a dict of documents that the environment keeps from build to build."""
    if not hasattr(env, name):
        setattr(env, name, {})
    return getattr(env, name)


def is_code_cell(node: nodes.Node) -> bool:
    return isinstance(node, nodes.container) and node.get("nb_element") == "cell_code"


def name_cells(app: Sphinx, doctree: nodes.document) -> None:
    """Give every code cell of a notebook its id as an anchor, and make it a target for links."""
    source = Path(app.env.doc2path(app.env.docname))
    if source.suffix != ".ipynb":
        return
    notebook = json.loads(source.read_text(encoding="utf-8"))
    labels = app.env.get_domain("std")
    for cell in doctree.findall(is_code_cell):
        assert isinstance(cell, nodes.Element)
        name = notebook["cells"][cell["cell_index"]].get("id", "")
        if name and name not in doctree.ids:
            cell["ids"].append(name)
            labels.data["anonlabels"][name] = app.env.docname, name
            labels.data["labels"][name] = app.env.docname, name, name
    kept(app.env, "book_exercises")[app.env.docname] = exercises_of(doctree)


def exercises_of(doctree: nodes.document) -> list[Exercise]:
    found = []
    for section in doctree.findall(nodes.section):
        if section.parent is None or not isinstance(section.parent, nodes.section):
            continue
        if title_of(section.parent).astext() != "Exercises":
            continue
        cells = [cell for cell in section.findall(is_code_cell) if isinstance(cell, nodes.Element)]
        solutions = [cell["ids"][-1] for cell in cells if "tag_solution" in cell["classes"]]
        title = [child.deepcopy() for child in title_of(section).children]
        found.append(Exercise(title, section["ids"][0], solutions))
    return found


def title_of(section: nodes.Element) -> nodes.Element:
    title = section.next_node(nodes.title)
    assert title is not None
    return title


def chapters_of(env: BuildEnvironment) -> dict[int, str]:
    """Return the page of each chapter of the book, by number."""
    found = {}
    for docname in sorted(env.found_docs):
        if match := NOTEBOOK.match(docname):
            found[int(match.group(1))] = docname
    return found


class ChapterRole(ReferenceRole):
    """A chapter by its number: plain text until the chapter is in the book."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        number = int(self.target)
        text = self.title if self.has_explicit_title else f"chapter {number:02}"
        docname = chapters_of(self.env).get(number)
        return [reference_or_text(self, text, "doc", docname and f"/{docname}")], []


class CellRole(ReferenceRole):
    """A code cell by its id: plain text until its chapter is in the book."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        published = int(self.target[2:4]) in chapters_of(self.env)
        return [reference_or_text(self, self.title, "ref", self.target if published else None)], []


def reference_or_text(role: ReferenceRole, text: str, kind: str, target: str | None) -> nodes.Node:
    """Return a reference, or the text alone where there is no target yet."""
    kept(role.env, "book_chapter_links")[role.env.docname] = True
    content = nodes.inline(text, text)
    if target is None:
        return content
    options = {"reftype": kind, "reftarget": target, "refdoc": role.env.docname}
    return pending_xref("", content, refdomain="std", refexplicit=True, refwarn=True, **options)


class TestRole(SphinxRole):
    """A test by its path, shown as the sentence that its name is."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        file, _, name = self.text.partition("::")
        source = ROOT / file
        if not source.is_file() or f"def {name}(" not in source.read_text(encoding="utf-8"):
            logger.warning("there is no test %r", self.text, location=self.get_location())
        sentence = name.removeprefix("test_").replace("_", " ")
        content = nodes.inline("", "", nodes.emphasis("", sentence), nodes.Text(" ("), classes=["test"])
        content += nodes.literal("", file.removeprefix("tests/"))
        content += nodes.Text(")")
        return [content], []


class Solutions(SphinxDirective):
    """The list of all exercises and solutions."""

    def run(self) -> list[nodes.Node]:
        kept(self.env, "book_solution_lists")[self.env.docname] = True
        return [SolutionsList()]


def link(builder: Builder, here: str, there: str, place: str, *children: nodes.Node) -> nodes.reference:
    uri = builder.get_relative_uri(here, there) + (f"#{place}" if place else "")
    return nodes.reference("", "", *children, internal=True, refuri=uri)


def list_solutions(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    exercises = kept(app.env, "book_exercises")
    for placeholder in list(doctree.findall(SolutionsList)):
        content: list[nodes.Node] = []
        for chapter in chapters_of(app.env).values():
            if not exercises.get(chapter):
                continue
            title = nodes.Text(app.env.titles[chapter].astext())
            heading = nodes.paragraph("", "", link(app.builder, docname, chapter, "", title))
            heading["classes"].append("solutions-chapter")
            content.append(heading)
            rows = nodes.bullet_list()
            for exercise in exercises[chapter]:
                name = [child.deepcopy() for child in exercise.title]
                row = nodes.paragraph("", "", link(app.builder, docname, chapter, exercise.place, *name))
                for solution in exercise.solutions:
                    row += nodes.Text(": ")
                    row += link(app.builder, docname, chapter, solution, nodes.Text("solution"))
                rows += nodes.list_item("", row)
            content.append(rows)
        placeholder.replace_self(content)


def forget(app: Sphinx, env: BuildEnvironment, docname: str) -> None:
    for name in ("book_exercises", "book_chapter_links", "book_solution_lists"):
        kept(env, name).pop(docname, None)


def stale_links(app: Sphinx, env: BuildEnvironment, added: set, changed: set, removed: set) -> list[str]:
    """Read pages that name chapters again when a chapter came or went."""
    return list(kept(env, "book_chapter_links")) if added or removed else []


def stale_lists(app: Sphinx, env: BuildEnvironment) -> list[str]:
    """Write the list of solutions again, whichever chapter changed."""
    return list(kept(env, "book_solution_lists"))


def setup(app: Sphinx) -> None:
    app.add_node(SolutionsList)
    app.add_role("chapter", ChapterRole())
    app.add_role("cell", CellRole())
    app.add_role("test", TestRole())
    app.add_directive("solutions", Solutions)
    app.connect("doctree-read", name_cells)
    app.connect("doctree-resolved", list_solutions, priority=400)
    app.connect("env-purge-doc", forget)
    app.connect("env-get-outdated", stale_links)
    app.connect("env-updated", stale_lists)
