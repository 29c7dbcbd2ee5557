"""The list of known mistakes fits the package and its tests; tools/plant_mistakes.py plants them."""

import ast
import importlib.util
import sys
from functools import cache
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]


def load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look themselves up
    spec.loader.exec_module(module)
    return module


KNOWN = load(ROOT / "tests" / "known_mistakes.py")
PLANTED = [mistake for mistake in KNOWN.MISTAKES if isinstance(mistake, KNOWN.PlantedMistake)]
names = lambda mistakes: [f"{mistake.number}: {mistake.sentence}" for mistake in mistakes]


@cache
def functions_of(file: str) -> dict[str, ast.FunctionDef]:
    tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
    return {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}


def test_the_table_is_the_one_that_the_tool_writes():
    written = (ROOT / "tests" / "KNOWN_MISTAKES.md").read_text(encoding="utf-8")
    assert written == load(ROOT / "tools" / "plant_mistakes.py").table(), (
        "python tools/plant_mistakes.py --table"
    )


def test_every_number_is_there():
    assert {mistake.number for mistake in KNOWN.MISTAKES} == set(range(1, KNOWN.COUNT + 1))
    numbers = [mistake.number for mistake in KNOWN.MISTAKES]
    assert numbers == sorted(numbers)


def test_no_mistake_is_listed_twice():
    planted = [(mistake.file, mistake.old, mistake.new) for mistake in PLANTED]
    assert len(set(planted)) == len(planted)
    assert len(set(names(KNOWN.MISTAKES))) == len(KNOWN.MISTAKES)


@pytest.mark.parametrize("mistake", PLANTED, ids=names(PLANTED))
def test_the_right_text_is_in_its_file_once_and_the_wrong_one_is_python_too(mistake):
    content = (ROOT / "detr_tutorial" / mistake.file).read_text(encoding="utf-8")
    assert content.count(mistake.old) == 1
    wrong = content.replace(mistake.old, mistake.new)
    assert ast.dump(ast.parse(wrong)) != ast.dump(ast.parse(content))


@pytest.mark.parametrize("mistake", KNOWN.MISTAKES, ids=names(KNOWN.MISTAKES))
def test_the_named_test_exists(mistake):
    if not mistake.test:
        assert isinstance(mistake, KNOWN.ImpossibleMistake)
        return
    file, name = mistake.test.split("::")
    name, bracket, _ = name.partition("[")
    found = functions_of(file)[name]
    decorators = [ast.unparse(decorator) for decorator in found.decorator_list]
    if bracket:
        assert any("parametrize" in decorator or decorator == "KINDS" for decorator in decorators)
    assert not any("skip" in decorator or "xfail" in decorator for decorator in decorators)
