"""Punctuation after formulas, in the pages of the book."""

import importlib
import sys
from pathlib import Path
from typing import Any

import pytest

nodes = pytest.importorskip("docutils.nodes", reason="docutils is not installed: no book is built here")
pytest.importorskip("sphinx", reason="sphinx is not installed: no book is built here")
EXTENSIONS = Path(__file__).resolve().parents[2] / "book" / "_ext"


@pytest.fixture
def keep_punctuation(monkeypatch) -> Any:
    monkeypatch.setattr(sys, "path", [str(EXTENSIONS), *sys.path])
    return importlib.import_module("book_site.mathematics").keep_punctuation


def paragraph(*children: Any) -> Any:
    return nodes.paragraph("", "", *children)


def test_a_full_stop_after_a_formula_is_tied_to_it(keep_punctuation):
    formula = nodes.math("", "x")
    tree = paragraph(nodes.Text("so is "), formula, nodes.Text(". Then"))
    keep_punctuation(None, tree, "page")
    assert formula["after"] == "."
    assert tree.astext() == "so is x Then"


def test_an_equal_full_stop_earlier_in_the_paragraph_stays(keep_punctuation):
    formula = nodes.math("", "x")
    tree = paragraph(nodes.literal("", "code"), nodes.Text("."), nodes.Text(" A "), formula, nodes.Text("."))
    keep_punctuation(None, tree, "page")
    assert formula["after"] == "."
    assert tree.astext() == "code. A x"
