"""The code of a chapter's notebook itself, run cell by cell, so that tests look at it and not at a copy."""

import ast
from pathlib import Path
from typing import Any

import nbformat

from detr_tutorial.checks import CheckResult

NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"


class Exercises:
    """What holds for the exercises of every chapter; a chapter's test module derives its class from this one.

    Fields:
        solutions: how many cells of the chapter are tagged `solution`.
        judged: the numbers of the exercises that a check judges.
    """

    solutions: int
    judged: tuple[int, ...]

    def test_every_solution_that_a_check_can_judge_passes_it(self, chapter: dict[str, Any]) -> None:
        assert len(chapter["solutions"]) == self.solutions
        checked = [result for result in chapter["solutions"].values() if isinstance(result, CheckResult)]
        assert len(checked) == len(self.judged)
        for result in checked:
            assert result.passed, result.message

    def test_an_exercise_that_is_not_begun_says_so(self, chapter: dict[str, Any]) -> None:
        begun = {name: result for name, result in chapter["results"].items() if "-exercise-" in name}
        for number in self.judged:
            (result,) = (result for name, result in begun.items() if name.endswith(f"-{number}"))
            assert "not written yet" in result.message


def run_chapter(name: str, skip: str | tuple[str, ...] | None = None) -> dict[str, Any]:
    """Run all cells of notebooks/`name`.ipynb but those whose id begins with `skip`.

    Returns:
        The names that the cells define; under "results" by cell id what each returned, and under "solutions"
        the same for the cells tagged `solution`, None for one that did not run.
    """
    cells = nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=4).cells
    code = [cell for cell in cells if cell.cell_type == "code"]
    namespace: dict[str, Any] = {}
    results = {
        cell.id: _run(cell.source, namespace) for cell in code if skip is None or not cell.id.startswith(skip)
    }
    tagged = [cell.id for cell in code if "solution" in cell.metadata.get("tags", [])]
    return {**namespace, "results": results, "solutions": {cell: results.get(cell) for cell in tagged}}


def _run(source: str, namespace: dict[str, Any]) -> Any:
    """Run a cell and return the value of its last expression."""
    tree = ast.parse(source)
    last = tree.body[-1] if tree.body else None
    if not isinstance(last, ast.Expr):
        return exec(compile(tree, "cell", "exec"), namespace)
    exec(compile(ast.Module(tree.body[:-1], []), "cell", "exec"), namespace)
    return eval(compile(ast.Expression(last.value), "cell", "eval"), namespace)
