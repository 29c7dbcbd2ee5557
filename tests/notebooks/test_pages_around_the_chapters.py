"""The pages of book/ name cells, tests, chapters and functions that exist."""

import importlib
import re
from pathlib import Path

import nbformat
import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted((ROOT / "book").glob("*.md"))
CELL = re.compile(r"\(#(ch\d\d-[a-z0-9-]+)\)")
LATER_CELL = re.compile(r"\{cell\}`[^`<]*<(ch\d\d-[a-z0-9-]+)>`")  # plain text until its chapter is there
TEST = re.compile(r"(tests/[\w/]+\.py)::(\w+)")
OBJECT = re.compile(r"\{py:\w+\}`~?([\w.]+)`")
OFFICIAL = re.compile(r"https://github\.com/(?:fundamentalvision|facebookresearch)/[^)\s>]*")


def published_cells() -> set[str]:
    """Return the ids of all code cells of the notebooks that are in the book."""
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))
    files = [entry["file"] for part in toc["parts"] for entry in part["chapters"]]
    notebooks = [ROOT / f"{file}.ipynb" for file in files if file.startswith("notebooks/")]
    return {
        cell.id
        for path in notebooks
        for cell in nbformat.read(path, as_version=4).cells
        if cell.cell_type == "code"
    }


def text_of(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def entries_of(page: str) -> dict[str, str]:
    """Return the definitions of a page's definition lists by their terms."""
    found = re.findall(r"^(\S.*)\n: ((?:.+\n?)(?:(?:  .*)?\n)*)", text_of(ROOT / "book" / page), flags=re.M)
    return dict(found)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_cell_a_page_points_to_is_in_the_book(page):
    cells = published_cells()
    assert set(CELL.findall(text_of(page))) <= cells
    chapters = {cell[:4] for cell in cells}
    assert {cell for cell in LATER_CELL.findall(text_of(page)) if cell[:4] in chapters} <= cells


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_test_a_page_names_exists(page):
    for file, name in TEST.findall(text_of(page)):
        assert f"def {name}(" in (ROOT / file).read_text(encoding="utf-8"), f"{file}::{name}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_function_a_page_names_can_be_imported(page):
    for name in OBJECT.findall(text_of(page)):
        find(name)


def find(name: str) -> object:
    """Import what a dotted name stands for."""
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        try:
            found: object = importlib.import_module(".".join(parts[:length]))
        except ModuleNotFoundError:
            continue
        for part in parts[length:]:
            found = getattr(found, part)
        return found
    raise ModuleNotFoundError(name)


def test_every_departure_names_a_cell_or_a_test_that_shows_it():
    entries = entries_of("departures.md")
    assert len(entries) > 20
    for term, text in entries.items():
        assert CELL.search(text) or LATER_CELL.search(text) or TEST.search(text), term


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_official_files_are_named_at_a_fixed_commit(page):
    for link in OFFICIAL.findall(text_of(page)):
        assert re.search(r"/blob/[0-9a-f]{40}/|/issues/\d+$|/pull/\d+$", link), link


# Solutions


def exercises_of(path: Path) -> dict[str, list[str]]:
    """Return the ids of the solutions below each exercise of a notebook."""
    found: dict[str, list[str]] = {}
    inside, current = False, ""
    for cell in nbformat.read(path, as_version=4).cells:
        if cell.cell_type == "markdown":
            for line in cell.source.splitlines():
                if line.startswith("## "):
                    inside, current = line == "## Exercises", ""
                elif inside and line.startswith("### "):
                    current = line.removeprefix("### ")
                    found[current] = []
        elif "solution" in cell.metadata.get("tags", []):
            assert current, f"{cell.id} stands outside of an exercise: the list of solutions misses it"
            found[current].append(cell.id)
    return found


@pytest.mark.parametrize("path", sorted((ROOT / "notebooks").glob("*.ipynb")), ids=lambda path: path.stem)
def test_every_exercise_has_a_heading_of_its_own_and_a_solution_below_it(path):
    exercises = exercises_of(path)
    assert len(exercises) >= 3
    for title, solutions in exercises.items():
        assert re.match(r"\d\. ", title), title
        assert solutions, title


# API reference


def test_the_reference_has_every_public_module():
    private = {"sparse_attention", "doctor"}  # one form of ms_deform_attn; a command
    shown = set(re.findall(r"automodule:: detr_tutorial\.(\S+)", text_of(ROOT / "book" / "api.md")))
    package = ROOT / "detr_tutorial"
    files = [*package.glob("*.py"), *(package / "data").glob("*.py")]
    modules = {file.relative_to(package).with_suffix("").as_posix().replace("/", ".") for file in files}
    modules |= {"data.photos", "plots.recording"}
    assert shown == {m for m in modules if not m.split(".")[-1].startswith("_")} - private


# How to cite


def test_how_to_cite_is_in_step_with_the_citation_file():
    page = text_of(ROOT / "book" / "citing.md")
    entries = {
        key: dict(re.findall(r"^\s+(\w+)\s*= \{+(.*?)\}+,?$", body, flags=re.M))
        for key, body in re.findall(r"^@\w+\{(\w+),\n(.*?)^\}", page, flags=re.M | re.S)
    }
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    ours = entries["detr_tutorial"]
    assert ours["title"] == citation["title"]
    assert ours["version"] == str(citation["version"])
    assert ours["license"] == citation["license"]
    assert ours["author"] == citation["authors"][0]["name"]
    config = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))
    assert ours["year"] == config["copyright"]
    paper = citation["references"][0]
    theirs = entries["zhu2021deformable"]
    assert theirs["title"].replace("{", "").replace("}", "") == paper["title"]
    assert theirs["year"] == str(paper["year"])
    names = [f"{author['family-names']}, {author['given-names']}" for author in paper["authors"]]
    assert theirs["author"] == " and ".join(names)


# Questions


def test_every_answer_names_the_cell_or_the_test_that_shows_it():
    answers = re.findall(
        r"^### ([^\n]+\?)\n(.*?)(?=^##|\Z)", text_of(ROOT / "book" / "faq.md"), flags=re.M | re.S
    )
    assert len(answers) > 30
    for question, text in answers:
        assert CELL.search(text) or LATER_CELL.search(text) or TEST.search(text), question


# References


def test_every_paper_has_a_link():
    bibliography = text_of(ROOT / "book" / "references.bib")
    entries = re.findall(r"^@\w+\{(\w+),(.*?)^\}", bibliography, flags=re.M | re.S)
    assert len(entries) == bibliography.count("@")
    for key, fields in entries:
        links = re.findall(r"^\s*(?:url|doi|eprint)\s*=\s*\{([^}]+)\}", fields, flags=re.M)
        assert any(re.match(r"https://|10\.\d{4,}/|\d{4}\.\d{4,5}$", link) for link in links), key


def test_every_paper_is_cited_by_a_chapter_or_a_page():
    bibliography = text_of(ROOT / "book" / "references.bib")
    sources = [*PAGES, *(ROOT / "notebooks").glob("*.ipynb")]
    cited = {
        key.strip()
        for source in sources
        for keys in re.findall(r"\{cite(?::\w+)?\}`([^`]+)`", text_of(source))
        for key in keys.split(",")
    }
    assert set(re.findall(r"^@\w+\{(\w+),", bibliography, flags=re.M)) <= cited


# Map of equations


def test_every_equation_has_a_function_a_chapter_a_test_and_an_official_place():
    page = text_of(ROOT / "book" / "map.md")
    entries = re.findall(r"^([A-Z].*)\n((?:: .*\n)+)", page, flags=re.M)
    assert len(entries) > 30
    for term, text in entries:
        ours, test, official = text.strip().split("\n")
        assert OBJECT.search(ours), term
        assert re.search(r"\{chapter\}`\d\d`", ours), term
        assert TEST.search(test), term
        assert official.startswith(": Official: "), term
        assert OFFICIAL.search(official) or "none" in official, term


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_chapter_a_page_names_by_number_is_planned(page):
    from tests.notebooks.test_chapters_and_modules import TEACHES

    numbers = {name[:2] for name in TEACHES} | {"07"}
    assert set(re.findall(r"\{chapter\}`(?:[^`<]*<)?(\d\d)>?`", text_of(page))) <= numbers


# Glossary


def test_the_glossary_is_in_order_and_every_word_names_its_chapter():
    terms = entries_of("glossary.md")
    assert len(terms) > 40
    assert list(terms) == sorted(terms, key=str.lower)
    for term, text in terms.items():
        assert re.search(r"\{chapter\}`\d\d`", text), term


# Figures


def test_no_two_figures_of_the_book_have_one_name():
    names = [
        name
        for path in sorted((ROOT / "notebooks").glob("*.ipynb"))
        for cell in nbformat.read(path, as_version=4).cells
        if (name := cell.metadata.get("mystnb", {}).get("figure", {}).get("name"))
    ]
    assert sorted(set(names)) == sorted(names)
