"""The code of a chapter's notebook itself, run cell by cell, so that tests look at it and not at a copy."""

import ast
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import nbformat
import pytest

from detr_tutorial.checks import CheckResult

NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"


def code_cells(name: str) -> list[nbformat.NotebookNode]:
    """The code cells of notebooks/`name`.ipynb."""
    cells = nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=4).cells
    return [cell for cell in cells if cell.cell_type == "code"]


def solutions(name: str) -> list[str]:
    """The ids of the cells tagged `solution`."""
    return [cell.id for cell in code_cells(name) if "solution" in cell.metadata.get("tags", [])]


def judged(name: str, chapter: dict[str, Any]) -> list[CheckResult]:
    """What the checks said of the solutions, where a check can judge one; `chapter` is from `run_chapter`."""
    results = [chapter["results"][cell] for cell in solutions(name)]
    return [result for result in results if isinstance(result, CheckResult)]


def mistakes_of(checks: Iterable[Any]) -> list[Any]:
    """Every known mistake of these checks, to parametrize ("check", "sentence", "wrong_function") with."""
    return [
        pytest.param(check, *mistake, id=f"{check.name}-{number}")
        for check in checks
        for number, mistake in enumerate(check.mistakes)
    ]


def run_chapter(name: str, skip: str | None = None) -> dict[str, Any]:
    """Run all cells but those whose id begins with `skip`: the names they define, and under "results" by cell
    id what each returned."""
    namespace: dict[str, Any] = {}
    results = {
        cell.id: _run(cell.source, namespace)
        for cell in code_cells(name)
        if skip is None or not cell.id.startswith(skip)
    }
    return {**namespace, "results": results}


def _run(source: str, namespace: dict[str, Any]) -> Any:
    """Run a cell and return the value of its last expression."""
    tree = ast.parse(source)
    last = tree.body[-1] if tree.body else None
    if not isinstance(last, ast.Expr):
        return exec(compile(tree, "cell", "exec"), namespace)
    exec(compile(ast.Module(tree.body[:-1], []), "cell", "exec"), namespace)
    return eval(compile(ast.Expression(last.value), "cell", "eval"), namespace)
