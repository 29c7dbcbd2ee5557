"""Run every check of the project, one after the other, and say at the end what failed.

Usage: python tools/run_checks.py [STEP ...]      (no step: all of them; --list names them)
"""

import json
import os
import shutil
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from browser import NoBrowserError, find_browser

ROOT = Path(__file__).resolve().parents[1]
REPORTS = ROOT / "_build" / "reports"
PYTHON = sys.executable
LONGEST = 1800  # seconds that a step may take
# Two workers share two cores: one thread each.
ONE_THREAD = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


@dataclass
class Step:
    name: str
    command: list[str]
    folder: Path = ROOT
    env: dict[str, str] = field(default_factory=dict)
    is_pytest: bool = False
    prepare: Callable[[], dict[str, str]] | None = None


@dataclass
class Outcome:
    name: str
    code: int
    seconds: float
    passed: int
    failed: int
    skipped: int


def pytest(name: str, *arguments: str, program: tuple[str, ...] = ("-m", "pytest"), **options) -> Step:
    report = REPORTS / f"{name}.xml"
    command = [
        PYTHON,
        *program,
        "-q",
        f"--junitxml={report}",
        "-o",
        f"cache_dir={REPORTS / 'cache'}",
        *arguments,
    ]
    return Step(name, command, is_pytest=True, **options)


def browser_env() -> dict[str, str]:
    path = find_browser()
    print(f"Browser: {path}")
    return {"DETR_TUTORIAL_BROWSER": path}


def npm_steps() -> list[Step]:
    manifest = ROOT / "js" / "package.json"
    if not manifest.exists():
        return []
    scripts = json.loads(manifest.read_text(encoding="utf-8")).get("scripts", {})
    npm = shutil.which("npm") or "npm"
    wanted = {"javascript": "test", "bundles": "check"}
    return [
        Step(n, [npm, "run", "--silent", s], folder=ROOT / "js") for n, s in wanted.items() if s in scripts
    ]


def steps() -> list[Step]:
    workers = ["-n", "2"]
    found = [
        Step("lint", [PYTHON, "-m", "ruff", "check", "."]),
        Step("format", [PYTHON, "-m", "ruff", "format", "--check", "."]),
        Step("types", [PYTHON, "-m", "pyright", "--pythonpath", PYTHON]),
        pytest(
            "unit",
            *workers,
            "--dist=worksteal",
            "--ignore=tests/site",
            "--ignore=tests/errors",
            "-m",
            "not timing",
            "tests",
            env=ONE_THREAD,
            prepare=browser_env,
        ),
    ]
    if any("mark.timing" in file.read_text(encoding="utf-8") for file in ROOT.glob("tests/**/test_*.py")):
        # alone on the machine, or the clock tells nothing
        found.append(pytest("timing", "--ignore=tests/site", "-m", "timing", "tests", prepare=browser_env))
    if (ROOT / "tests" / "errors").is_dir():
        unchecked = {**ONE_THREAD, "DETR_TUTORIAL_TYPECHECK": "0"}
        found.append(pytest("errors", *workers, "--dist=worksteal", "tests/errors", env=unchecked))
    found += npm_steps()
    found += [
        Step("package", [PYTHON, "tools/check_package.py"]),
        pytest(
            "notebooks", *workers, "--dist=loadfile", program=("tools/check_notebooks.py",), env=ONE_THREAD
        ),
        Step("book", [PYTHON, "tools/build_book.py"]),
        pytest("site", *workers, "--dist=loadgroup", "tests/site", prepare=browser_env),
        # alone on the machine, like the timing tests; all pages: make lighthouse
        Step("lighthouse", [PYTHON, "tools/lighthouse.py", "--few"], prepare=browser_env),
    ]
    return found


def counts(report: Path) -> tuple[int, int, int]:
    """Return (passed, failed, skipped) of a JUnit report; an unreadable one counts as one failure."""
    try:
        suites = list(ET.parse(report).getroot().iter("testsuite"))
    except (OSError, ET.ParseError):
        return 0, 1, 0
    total, bad, skipped = (
        sum(int(suite.get(key, 0)) for key in keys for suite in suites)
        for keys in (("tests",), ("failures", "errors"), ("skipped",))
    )
    return total - bad - skipped, bad, skipped


def run(step: Step) -> Outcome:
    print(f"\n== {step.name}", flush=True)
    started = time.perf_counter()
    report = REPORTS / f"{step.name}.xml"
    report.unlink(missing_ok=True)
    try:
        extra = step.prepare() if step.prepare else {}
        code = subprocess.run(
            step.command,
            cwd=step.folder,
            env={**os.environ, **step.env, **extra},
            stdin=subprocess.DEVNULL,
            timeout=LONGEST,
        ).returncode
    except (NoBrowserError, OSError, subprocess.TimeoutExpired) as error:
        print(error, file=sys.stderr)
        code = 1
    seconds = time.perf_counter() - started
    if step.is_pytest:
        passed, failed, skipped = counts(report)
        if code != 0:
            failed = max(failed, 1)
    else:
        passed, failed, skipped = int(code == 0), int(code != 0), 0
    return Outcome(step.name, code, seconds, passed, failed, skipped)


def main() -> int:
    wanted = sys.argv[1:]
    available = steps()
    if wanted == ["--list"]:
        print(*(step.name for step in available), sep="\n")
        return 0
    if unknown := set(wanted) - {step.name for step in available}:
        print(f"No such check: {', '.join(sorted(unknown))}", file=sys.stderr)
        return 2
    REPORTS.mkdir(parents=True, exist_ok=True)
    outcomes = [run(step) for step in available if not wanted or step.name in wanted]
    print("\n== summary")
    for outcome in outcomes:
        word = "ok    " if outcome.code == 0 else "FAILED"
        skipped = f", {outcome.skipped} skipped" if outcome.skipped else ""
        print(
            f"{word} {outcome.name:<11} {outcome.seconds:6.0f} s   "
            f"{outcome.passed} passed, {outcome.failed} failed{skipped}"
        )
    passed = sum(outcome.passed for outcome in outcomes)
    failed = sum(outcome.failed for outcome in outcomes)
    skipped = sum(outcome.skipped for outcome in outcomes)
    print(f"{passed} passed, {failed} failed, {skipped} skipped", flush=True)
    return int(any(outcome.code != 0 for outcome in outcomes))


if __name__ == "__main__":
    sys.exit(main())
