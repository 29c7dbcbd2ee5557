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
    assert set(CELL.findall(text_of(page))) <= published_cells()


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
        assert CELL.search(text) or TEST.search(text), term


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_official_files_are_named_at_a_fixed_commit(page):
    for link in OFFICIAL.findall(text_of(page)):
        assert re.search(r"/blob/[0-9a-f]{40}/|/issues/\d+$|/pull/\d+$", link), link
