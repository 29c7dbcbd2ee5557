"""The status page: when, with what and at what cost each chapter last ran, and whether it kept its budget.

    ```{status} budgets
    ```

The parts are `summary`, `budgets`, `chapters` and `versions`. Everything shown comes from the records of the
runs whose outputs the pages show (measure.py).
"""

from collections.abc import Iterable
from typing import NamedTuple

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util.docutils import SphinxDirective

from .measure import Run, memory_text, run_of
from .places import chapters_of, kept, link

# Seconds that the chapters of a group may take together on two cores.
BUDGETS = {(1, 6): 90, (7, 9): 60, (10, 12): 60, (13, 19): 240, (20, 20): 60}
UNKNOWN = "not recorded"
Runs = dict[int, Run | None]  # by the number of the chapter
Cell = str | nodes.Node


class BudgetRow(NamedTuple):
    """A group of chapters, what they took, and what they may take."""

    chapters: str
    taken: str
    budget: str
    within: str


def budget_rows(runs: Runs) -> list[BudgetRow]:
    """Compare what the chapters of each group took with their budget, and all with all."""
    rows = [
        budget_row(span_text(*span), runs, range(span[0], span[1] + 1), BUDGETS[span]) for span in BUDGETS
    ]
    return [*rows, budget_row("all", runs, runs, sum(BUDGETS.values()))]


def budget_row(name: str, runs: Runs, numbers: Iterable[int], budget: int) -> BudgetRow:
    group = [runs[number] for number in numbers if number in runs]
    taken = sum(run.seconds for run in group if run is not None)
    missing = sum(run is None for run in group)
    if missing or not group:
        within = "not in the book" if not group else f"unknown: {missing} of {len(group)} did not run"
    else:
        within = "yes" if taken <= budget else f"no, {taken - budget:.1f} s over"
    return BudgetRow(name, f"{taken:.1f} s" if taken else "", f"{budget} s", within)


def span_text(first: int, last: int) -> str:
    return f"{first:02}" if first == last else f"{first:02} to {last:02}"


def summary(runs: Runs) -> str:
    """Return in a few sentences how much of the book was run for these pages, and when."""
    done = [run for run in runs.values() if run is not None]
    if not done:
        return (
            "No chapter was run for these pages. They show the outputs that are stored in the notebooks, and "
            "nothing is known here of their time, memory or versions."
        )
    text = f"{len(done)} of the {len(runs)} chapters were run for these pages"
    if dates := sorted(run.date for run in done if run.date):
        text += f", the first on {dates[0]}, the last on {dates[-1]} (UTC)"
    text += ". "
    if len(done) < len(runs):
        text += "The others show the outputs that are stored in their notebooks. "
    counted = [run.connections for run in done if run.connections is not None]
    if len(counted) == len(done):
        text += f"Downloads: {sum(counted)} connections to other machines."
    return text


def chapter_cells(run: Run | None) -> list[str]:
    """Return the run of one chapter as the cells of a table: date, time, memory, connections."""
    if run is None:
        return ["did not run", "", "", ""]
    peak = UNKNOWN if run.peak_bytes is None else memory_text(run.peak_bytes)
    connections = UNKNOWN if run.connections is None else str(run.connections)
    return [run.date or UNKNOWN, f"{run.seconds:.1f} s", peak, connections]


def environments(runs: Runs) -> list[tuple[list[int], dict[str, str]]]:
    """Return what the chapters ran with: each different set of versions and machine, and whose it was."""
    found: dict[tuple, list[int]] = {}
    for number, run in runs.items():
        if run is not None and run.versions and run.machine:
            found.setdefault((*run.versions.items(), ("Machine", run.machine)), []).append(number)
    return [
        (numbers, {name: value or "not installed" for name, value in environment})
        for environment, numbers in found.items()
    ]


def table(headings: list[str], rows: list[list[Cell]]) -> nodes.table:
    """Return a table of text and links."""
    group = nodes.tgroup("", cols=len(headings))
    group += [nodes.colspec("", colwidth=1) for _ in headings]
    group += nodes.thead("", table_row(headings))
    group += nodes.tbody("", *(table_row(row) for row in rows))
    return nodes.table("", group)


def table_row(cells: Iterable[Cell]) -> nodes.row:
    content = (nodes.Text(cell) if isinstance(cell, str) else cell for cell in cells)
    return nodes.row("", *(nodes.entry("", nodes.paragraph("", "", cell)) for cell in content))


class StatusPart(nodes.General, nodes.Element):
    """Stands for a part of the report until every chapter has been read."""


class Status(SphinxDirective):
    """A part of the report on the runs of all chapters."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        part = self.arguments[0]
        if part not in PARTS:
            raise self.error(f"there is no part {part!r} of the status; there are: {', '.join(PARTS)}")
        kept(self.env, "book_status_pages")[self.env.docname] = True
        return [StatusPart("", part=part)]


def show_summary(app: Sphinx, docname: str, runs: Runs) -> list[nodes.Node]:
    return [nodes.paragraph("", summary(runs))]


def show_budgets(app: Sphinx, docname: str, runs: Runs) -> list[nodes.Node]:
    return [table(["Chapters", "Together", "Budget", "Within"], [[*row] for row in budget_rows(runs)])]


def show_chapters(app: Sphinx, docname: str, runs: Runs) -> list[nodes.Node]:
    rows: list[list[Cell]] = []
    for number, chapter in chapters_of(app.env).items():
        title = link(app.builder, docname, chapter, "", nodes.Text(app.env.titles[chapter].astext()))
        rows.append([title, *chapter_cells(runs[number])])
    return [table(["Chapter", "Last run (UTC)", "Time", "Peak memory", "Connections"], rows)]


def show_versions(app: Sphinx, docname: str, runs: Runs) -> list[nodes.Node]:
    found = environments(runs)
    content: list[nodes.Node] = [] if found else [nodes.paragraph("", "No run has recorded its versions.")]
    for numbers, environment in found:
        if len(found) > 1:
            whose = ", ".join(f"{number:02}" for number in numbers)
            content.append(nodes.paragraph("", f"Chapters {whose}:"))
        content.append(table(["What", "Version"], [[*item] for item in environment.items()]))
    return content


PARTS = {
    "summary": show_summary,
    "budgets": show_budgets,
    "chapters": show_chapters,
    "versions": show_versions,
}


def fill_parts(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    placeholders = list(doctree.findall(StatusPart))
    if placeholders:
        runs = {number: run_of(app, chapter) for number, chapter in chapters_of(app.env).items()}
        for placeholder in placeholders:
            placeholder.replace_self(PARTS[placeholder["part"]](app, docname, runs))


def forget(app: Sphinx, env: BuildEnvironment, docname: str) -> None:
    kept(env, "book_status_pages").pop(docname, None)


def stale_pages(app: Sphinx, env: BuildEnvironment) -> list[str]:
    """Write the report again, whichever chapter was run."""
    return list(kept(env, "book_status_pages"))


def setup(app: Sphinx) -> None:
    app.add_node(StatusPart)
    app.add_directive("status", Status)
    app.connect("doctree-resolved", fill_parts, priority=400)
    app.connect("env-purge-doc", forget)
    app.connect("env-updated", stale_pages)
