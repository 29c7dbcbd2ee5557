"""Plant known mistakes in a copy of the package, one at a time, and see that the named test notices.

Usage: python tools/plant_mistakes.py [NUMBER ...]    (no number: all of them)
       python tools/plant_mistakes.py --table         (writes tests/KNOWN_MISTAKES.md)

The repository is never changed. Every named test must pass in the copy, and fail with its mistake: by an
assertion or an error of the package itself, not because the changed module cannot be imported.
"""

import argparse
import importlib.util
import json
import multiprocessing
import os
import shutil
import sys
import tempfile
import traceback
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = "detr_tutorial"
TABLE = ROOT / "tests" / "KNOWN_MISTAKES.md"
COPIED = (PACKAGE, "tests", "pyproject.toml")
PROCESSES = multiprocessing.get_context("forkserver")  # imports what is slow to import only once
SLOW_IMPORTS = ["torch", "torchvision.transforms.v2", "scipy.optimize", "hypothesis", "pytest", "beartype"]
LONGEST = 300  # seconds that a test with a mistake may take; one that never ends has noticed nothing

HEAD = """\
# Known mistakes

These mistakes are often made when DETR or Deformable DETR is written anew. Each can be planted in this
package by changing one place, and then the named test fails. `python tools/plant_mistakes.py` does that in a
copy of the package, for all or for some numbers; with `--table` it writes this file.
"""


class Outcome(NamedTuple):
    """What a run of tests in the copy gave."""

    passed: int
    failures: list[str]  # kind of every exception; "package error" where the package raised it
    package: str  # file that was imported as the package


# In a process of its own -----------------------------------------------------------------------------------


class Watcher:
    """A pytest plugin that keeps how tests failed."""

    def __init__(self, root: Path) -> None:
        self.root, self.passed, self.failures = root, 0, []

    def pytest_exception_interact(self, node: Any, call: Any, report: Any) -> None:
        """Called for a failing test, and for a file that cannot be collected."""
        del node
        if report.when == "collect":
            self.failures.append("no collection")
            return
        self.failures += [self._kind(error) for error in _leaves(call.excinfo.value)]

    def pytest_runtest_logreport(self, report: Any) -> None:
        self.passed += report.when == "call" and report.outcome == "passed"

    def _kind(self, error: BaseException) -> str:
        kind = type(error).__name__
        frames = traceback.extract_tb(error.__traceback__)
        raised_by_us = bool(frames) and Path(frames[-1].filename).is_relative_to(self.root / PACKAGE)
        return "package error" if raised_by_us and kind in ("ValueError", "TypeError") else kind


def _leaves(error: BaseException) -> list[BaseException]:
    """Take groups apart: hypothesis raises one where several examples fail in different ways."""
    inner = getattr(error, "exceptions", None)
    return [error] if inner is None else [leaf for part in inner for leaf in _leaves(part)]


def run_here(copy: Path, tests: list[str], report: Path) -> None:
    """Run tests of the copy in this process, and write what came out."""
    output = os.open(copy / "output.txt", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.chdir(copy)
    sys.path.insert(0, str(copy))
    with_types = not all(test.startswith("tests/errors/") for test in tests)
    os.environ["PYTHONPATH"] = str(copy)  # tests start processes too
    os.environ["DETR_TUTORIAL_TYPECHECK"] = str(int(with_types))

    import hypothesis
    import pytest

    hypothesis.settings.register_profile("mistakes", deadline=None)  # a slow machine has noticed nothing
    hypothesis.settings.load_profile("mistakes")
    watcher = Watcher(copy)
    pytest.main(["-q", "-p", "no:cacheprovider", "--no-header", *tests], plugins=[watcher])
    outcome = Outcome(watcher.passed, watcher.failures, str(sys.modules[PACKAGE].__file__))
    report.write_text(json.dumps(outcome._asdict()), encoding="utf-8")


# From outside -------------------------------------------------------------------------------------------


def load_mistakes() -> Any:
    """Read tests/known_mistakes.py."""
    spec = importlib.util.spec_from_file_location("known_mistakes", ROOT / "tests" / "known_mistakes.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look themselves up
    spec.loader.exec_module(module)
    return module


def copy_package(folder: Path) -> None:
    ignored = shutil.ignore_patterns("__pycache__", "node_modules", ".hypothesis")
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=ignored)
        else:
            shutil.copy2(source, folder / name)


def run_in(copy: Path, tests: list[str], longest: int | None = LONGEST) -> Outcome | str:
    """Run tests in a process of their own; a word instead of an outcome where it came to no end."""
    report = copy / "outcome.json"
    report.unlink(missing_ok=True)
    process = PROCESSES.Process(target=run_here, args=(copy, tests, report))
    process.start()
    process.join(longest)
    if process.exitcode is None:
        process.kill()
        process.join()
        return "no end"
    if not report.exists():
        return f"no answer: {(copy / 'output.txt').read_text(errors='replace')[-2000:]}"
    outcome = Outcome(**json.loads(report.read_text(encoding="utf-8")))
    if not Path(outcome.package).is_relative_to(copy):
        raise SystemExit(f"the tests imported {outcome.package}, which is not in the copy {copy}")
    return outcome


def plant(copy: Path, mistake: Any) -> Outcome | str:
    """Change the copy, run the test, and change it back."""
    file = copy / PACKAGE / mistake.file
    right, times = file.read_text(encoding="utf-8"), file.stat()
    if right.count(mistake.old) != 1:
        return f"the text to replace occurs {right.count(mistake.old)} times in {mistake.file}"
    try:
        file.write_text(right.replace(mistake.old, mistake.new), encoding="utf-8")
        os.utime(file, (times.st_atime + 100, times.st_mtime + 100))  # compiled code is told apart by this
        return run_in(copy, [mistake.test])
    finally:
        file.write_text(right, encoding="utf-8")
        os.utime(file, (times.st_atime, times.st_mtime))


def verdict(mistake: Any, outcome: Outcome | str) -> tuple[bool, str]:
    """Say whether the test noticed, and by what."""
    if isinstance(outcome, str):
        return False, outcome
    kinds = ", ".join(sorted(set(outcome.failures)))
    noticed = {"AssertionError", "Failed", "package error", mistake.crash}
    if not outcome.failures:
        return False, "SURVIVED: the test passes" if outcome.passed else "no test ran"
    if not set(outcome.failures) <= noticed:
        return False, f"failed in another way: {kinds}"
    if mistake.crash and mistake.crash not in outcome.failures:
        return False, f"expected {mistake.crash}, got {kinds}"
    return True, kinds


def check(numbers: list[int]) -> int:
    """Plant the mistakes and print one line for each; 1 when a mistake was not noticed."""
    wanted = [
        mistake
        for mistake in load_mistakes().MISTAKES
        if hasattr(mistake, "new") and (not numbers or mistake.number in numbers)
    ]
    if missing := set(numbers) - {mistake.number for mistake in wanted}:
        print(f"No such mistake to plant: {', '.join(map(str, sorted(missing)))}", file=sys.stderr)
        return 2
    unnoticed = 0
    os.environ["OMP_NUM_THREADS"] = "1"
    PROCESSES.set_forkserver_preload(SLOW_IMPORTS)
    with tempfile.TemporaryDirectory(prefix="mistakes-") as folder:
        copy = Path(folder).resolve()
        copy_package(copy)
        tests = sorted({mistake.test for mistake in wanted})
        print(f"{len(tests)} tests without a mistake: ", end="", flush=True)
        for part in (
            [test for test in tests if not test.startswith("tests/errors/")],
            [test for test in tests if test.startswith("tests/errors/")],
        ):
            clean = run_in(copy, part, longest=None) if part else None
            if isinstance(clean, str) or (clean is not None and (clean.failures or not clean.passed)):
                print(f"they must pass, and do not:\n{clean}")
                return 1
        print("all pass", flush=True)
        for mistake in wanted:
            good, words = verdict(mistake, plant(copy, mistake))
            unnoticed += not good
            name = mistake.test.split("::")[1]
            sign = "ok " if good else "NOT"
            print(f"{sign} {mistake.number:2d} {mistake.file:24s} {name}: {words}", flush=True)
    print(f"{len(wanted) - unnoticed} of {len(wanted)} mistakes noticed")
    return int(unnoticed > 0)


def table() -> str:
    """Write the mistakes as Markdown."""
    module = load_mistakes()
    lines = [HEAD.rstrip()]
    for title, section in module.SECTIONS.items():
        lines += ["", f"## {title}", "", "| number | mistake | where | test |", "|---|---|---|---|"]
        for mistake in section:
            test = f"`{mistake.test.removeprefix('tests/')}`" if mistake.test else "none"
            where = f"`{mistake.file}`" if hasattr(mistake, "file") else f"nowhere: {mistake.reason}"
            lines.append(f"| {mistake.number} | {mistake.sentence} | {where} | {test} |")
    return "\n".join(lines) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("numbers", nargs="*", metavar="NUMBER", help="of mistakes; none: all")
    parser.add_argument("--table", action="store_true", help="write tests/KNOWN_MISTAKES.md and stop")
    chosen = parser.parse_args()
    if chosen.table:
        TABLE.write_text(table(), encoding="utf-8")
        return 0
    if not all(number.isdigit() for number in chosen.numbers):
        parser.error("a NUMBER is that of a mistake in tests/KNOWN_MISTAKES.md")
    return check([int(number) for number in chosen.numbers])


if __name__ == "__main__":
    sys.exit(main())
