"""What is released, and the workflows that do it: versions in step, dependencies declared, few rights."""

import ast
import re
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import check_jsonschema
import nbformat
import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import detr_tutorial
from tools.oldest_versions import constraints

ROOT = Path(__file__).resolve().parents[2]
GITHUB = ROOT / ".github"
WORKFLOWS = {
    path.name: yaml.load(path.read_text(encoding="utf-8"), yaml.BaseLoader)  # `on` is no boolean
    for path in sorted((GITHUB / "workflows").glob("*.yml"))
}
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
DEPENDENCIES = [Requirement(line) for line in PROJECT["dependencies"]]
PINS = dict(
    line.split("==")
    for line in (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    if "==" in line
)
PYTHONS = re.findall(r"Python :: (3\.\d+)", "\n".join(PROJECT["classifiers"]))
SCHEMAS = {
    "vendor.github-workflows": [f"workflows/{name}" for name in WORKFLOWS],
    "vendor.dependabot": ["dependabot.yml"],
    "vendor.github-issue-forms": ["ISSUE_TEMPLATE/bug.yml"],
    "vendor.github-issue-config": ["ISSUE_TEMPLATE/config.yml"],
    "vendor.citation-file-format": ["../CITATION.cff"],
}


def jobs() -> list[tuple[str, str, dict]]:
    return [(file, name, job) for file, flow in WORKFLOWS.items() for name, job in flow["jobs"].items()]


def commands(workflow: str, job: str) -> str:
    steps = WORKFLOWS[workflow]["jobs"][job]["steps"]
    return "\n".join(step["run"] for step in steps if "run" in step)


@pytest.mark.parametrize("schema", SCHEMAS)
def test_files_for_github_and_citing_follow_their_official_schema(schema):
    files = [GITHUB / name for name in SCHEMAS[schema]]
    assert files
    arguments = ["--builtin-schema", schema, *map(str, files)]
    assert check_jsonschema.main(arguments, standalone_mode=False) == 0


def test_the_version_stands_in_the_package_and_the_citation_alone_and_is_the_same():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["version"] == detr_tutorial.__version__
    assert "version" not in PROJECT
    assert PROJECT["dynamic"] == ["version"]


def test_the_book_is_made_with_versions_that_the_package_allows():
    for requirement in DEPENDENCIES:
        assert requirement.name in PINS, f"requirements.txt has no {requirement.name}"
        assert requirement.specifier.contains(PINS[requirement.name]), requirement


def test_the_oldest_versions_are_constraints_for_pip_one_for_each_dependency():
    lines = constraints(PROJECT["dependencies"])
    assert [Requirement(line).name for line in lines] == [requirement.name for requirement in DEPENDENCIES]
    assert constraints(["torch>=2.7"]) == ["torch==2.7.*"]
    with pytest.raises(SystemExit, match=r"got torch~=2\.7"):
        constraints(["torch~=2.7"])


def imported(code: str) -> set[str]:
    """Return the first names of what a piece of code imports."""
    found = set()
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module.partition(".")[0])
    return found


def code_of(path: Path) -> str:
    if path.suffix == ".py":
        return path.read_text(encoding="utf-8")
    cells = nbformat.read(path, as_version=4).cells
    return "\n".join(cell.source for cell in cells if cell.cell_type == "code")


def test_whatever_the_package_and_the_chapters_import_is_declared():
    files = [*(ROOT / "detr_tutorial").rglob("*.py"), *(ROOT / "notebooks").glob("*.ipynb")]
    names = set().union(*(imported(code_of(file)) for file in files))
    assert {"torch", "transformers", "IPython"} <= names
    declared = {canonicalize_name(requirement.name) for requirement in DEPENDENCIES}
    of = metadata.packages_distributions()
    for name in names - sys.stdlib_module_names - {"detr_tutorial"}:
        assert declared & {canonicalize_name(owner) for owner in of.get(name, [])}, f"{name} is not declared"


def test_the_oldest_python_is_the_same_wherever_it_stands():
    oldest = PYTHONS[0]
    assert PROJECT["requires-python"] == f">={oldest}"
    for file in ("README.md", "tools/make_venv.sh", "book/troubleshooting.md"):
        said = re.findall(r"Python (3\.\d+) or newer", (ROOT / file).read_text(encoding="utf-8"))
        assert said, file
        assert set(said) == {oldest}, file
    setups = [
        step["with"]["python-version"]
        for file in ("test.yml", "site.yml", "release.yml")
        for job in WORKFLOWS[file]["jobs"].values()
        for step in job["steps"]
        if "setup-python" in step.get("uses", "")
    ]
    assert set(setups) == {oldest}


def test_the_package_is_tried_on_three_systems_with_the_oldest_and_the_newest():
    job = WORKFLOWS["ci.yml"]["jobs"]["package"]
    matrix = job["strategy"]["matrix"]
    assert matrix["os"] == ["ubuntu-latest", "macos-latest", "windows-latest"]
    assert matrix["python"] == [PYTHONS[0], PYTHONS[-1]]
    assert [(entry["python"], entry["versions"]) for entry in matrix["include"]] == [
        (PYTHONS[0], "oldest"),
        (PYTHONS[-1], "newest"),
    ]
    assert job["defaults"]["run"]["shell"] == "bash", "the commands are written for one shell"
    for words in (
        "tools/oldest_versions.py",
        'pip install ".[test]"',
        "detr_tutorial.doctor",
        "tests/errors",
    ):
        assert words in commands("ci.yml", "package")


@pytest.mark.parametrize(
    ("file", "name", "job"), jobs(), ids=lambda value: value if isinstance(value, str) else ""
)
def test_every_job_has_a_time_limit_and_no_more_rights_than_it_needs(file, name, job):
    assert WORKFLOWS[file]["permissions"] == {"contents": "read"}
    assert int(job["timeout-minutes"]) <= 90
    allowed = {
        ("site.yml", "deploy"): {"pages": "write", "id-token": "write"},
        ("release.yml", "publish"): {"id-token": "write"},
        ("release.yml", "release"): {"contents": "write"},
        ("weekly.yml", "say"): {"issues": "write"},
    }
    assert job.get("permissions", {}) == allowed.get((file, name), {})


def test_actions_are_fixed_to_a_major_version_or_a_commit_and_few_people_make_them():
    used = {step["uses"] for _, _, job in jobs() for step in job["steps"] if "uses" in step}
    assert used
    for action in used:
        owner, _, version = action.partition("/")[0], *action.partition("@")[1:]
        assert owner in ("actions", "pypa"), action
        assert re.fullmatch(r"v\d+|release/v\d+|[0-9a-f]{40}", version), action


def test_no_command_contains_text_that_a_stranger_can_choose():
    for file, _, job in jobs():
        for step in job["steps"]:
            inside = re.findall(r"\$\{\{\s*(.+?)\s*\}\}", step.get("run", ""))
            assert set(inside) <= {"github.repository"}, f"{file}: {inside}"
        assert "pull_request_target" not in WORKFLOWS[file]["on"]


def test_each_workflow_runs_what_it_is_for():
    assert "make test" in commands("test.yml", "test")
    site = commands("site.yml", "build").splitlines()
    assert site == ["make repository REPO=${{ github.repository }}", "make book", "make lighthouse"]
    assert WORKFLOWS["site.yml"]["jobs"]["deploy"]["needs"] == "build"
    assert "tools/run_checks.py package notebooks" in commands("release.yml", "build")
    assert WORKFLOWS["release.yml"]["jobs"]["publish"]["needs"] == "build"
    assert WORKFLOWS["release.yml"]["on"] == {"push": {"tags": ["v*"]}}
    assert "cron" in WORKFLOWS["weekly.yml"]["on"]["schedule"][0]
    assert "requirements.txt" not in commands("weekly.yml", "newest"), "the pins are left out"
    assert WORKFLOWS["weekly.yml"]["jobs"]["say"]["if"] == "failure()"
    steps = subprocess.run(
        [sys.executable, "tools/run_checks.py", "--list"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    assert {"package", "notebooks"} <= set(steps)


def test_every_make_target_and_script_of_a_workflow_exists():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for _, name, job in jobs():
        text = "\n".join(step.get("run", "") for step in job["steps"])
        for target in re.findall(r"\bmake ([\w-]+)", text):
            assert re.search(rf"^{target}:", makefile, re.M), f"{name}: make {target}"
        for path in re.findall(r"\b(?:tools|tests)/[\w./]+", text):
            assert (ROOT / path).exists(), f"{name}: {path}"


def test_dependabot_looks_at_every_manifest():
    updates = yaml.safe_load((GITHUB / "dependabot.yml").read_text(encoding="utf-8"))["updates"]
    places = {
        (update["package-ecosystem"], folder)
        for update in updates
        for folder in update.get("directories", [update.get("directory")])
    }
    manifests = {
        path.parent for path in ROOT.glob("*/package.json") if (path.parent / "package-lock.json").exists()
    }
    assert places == {
        ("pip", "/"),
        ("github-actions", "/"),
        *(("npm", f"/{path.name}") for path in manifests),
    }


def test_a_bug_form_asks_for_the_output_of_the_doctor():
    form = yaml.safe_load((GITHUB / "ISSUE_TEMPLATE" / "bug.yml").read_text(encoding="utf-8"))
    doctor = form["body"][0]
    assert "python -m detr_tutorial.doctor" in doctor["attributes"]["description"]
    assert doctor["validations"]["required"] is True
