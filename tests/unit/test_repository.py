"""The repository's address stands where it must, and nowhere else."""

import contextlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
import yaml

from tools.repository import BLOCK, PLACES, Address, address_in, bootstrap_source, pages_site

ROOT = Path(__file__).resolve().parents[2]
FIRST, SECOND = "Quokka-Press/numbat_atlas", "other-owner/another.book"
# Repositories of others that the book, its tests and the lists of packages link to.
OTHERS = {
    "fundamentalvision/deformable-detr",
    "facebookresearch/detr",
    "huggingface/transformers",
    "idea-research/detrex",
    "idea-research/dino",
    "open-mmlab/mmdetection",
}
OWN_TESTS = {"tests/unit/test_repository.py", "tests/site/test_metadata.py"}  # name made-up repositories


def tracked_texts() -> dict[str, str]:
    """Return the tracked text files; those of package managers list the addresses of others."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)
    texts = {}
    for name in listed.stdout.split("\0"):
        if (ROOT / name).is_file() and not name.endswith("package-lock.json") and name not in OWN_TESTS:
            with contextlib.suppress(UnicodeDecodeError):
                texts[name] = (ROOT / name).read_text(encoding="utf-8")
    return texts


@pytest.fixture(scope="module")
def original() -> dict[str, str]:
    if not (ROOT / ".git").exists():
        pytest.skip("not a checkout: nobody says which files belong to the project")
    return tracked_texts()


@pytest.fixture
def copy(original, tmp_path) -> Path:
    """A copy of the project's texts, without an address."""
    for name, text in original.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    assert run(tmp_path, "").returncode == 0
    return tmp_path


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess:
    script = folder / "tools" / "repository.py"
    return subprocess.run([sys.executable, "-S", str(script), *arguments], capture_output=True, text=True)


def texts_of(folder: Path) -> dict[str, str]:
    files = (file for file in folder.rglob("*") if file.is_file() and "__pycache__" not in file.parts)
    return {file.relative_to(folder).as_posix(): file.read_text(encoding="utf-8") for file in files}


def files_with(words: str, folder: Path) -> set[str]:
    return {name for name, text in texts_of(folder).items() if words.lower() in text.lower()}


def test_it_writes_every_place_twice_is_as_once_and_the_old_name_is_gone(copy, original):
    empty = texts_of(copy)
    assert run(copy, FIRST).returncode == 0
    once = texts_of(copy)
    notebooks = {name for name in original if re.fullmatch(r"notebooks/[^/]*\.ipynb", name)}
    assert files_with(FIRST, copy) == {*PLACES, *notebooks} - {"book/citing.md"}
    assert "https://quokka-press.github.io/numbat_atlas/" in once["book/citing.md"]
    assert run(copy, FIRST).stdout == f"{FIRST}: 0 files changed\n"
    assert texts_of(copy) == once
    assert run(copy, SECOND).returncode == 0
    for word in FIRST.split("/"):
        assert files_with(word, copy) == set()
    assert run(copy, "").returncode == 0
    assert texts_of(copy) == empty


def test_what_it_writes_can_be_read_and_fits_together(copy):
    assert run(copy, FIRST).returncode == 0
    config = yaml.safe_load((copy / "_config.yml").read_text(encoding="utf-8"))
    address = address_in(copy)
    site = "https://quokka-press.github.io/numbat_atlas/"
    assert address == Address(FIRST, config["repository"]["branch"], site)
    assert config["repository"]["url"] == config["sphinx"]["config"]["book_repository"]["url"] == address.url
    assert config["html"]["baseurl"] == site
    citation = yaml.safe_load((copy / "CITATION.cff").read_text(encoding="utf-8"))
    assert (citation["repository-code"], citation["url"]) == (address.url, site)
    [urls] = re.findall(
        r"^\[project\.urls\]\n((?:\w+ = \".*\"\n)+)", (copy / "pyproject.toml").read_text(), re.M
    )
    assert f'Repository = "{address.url}"\n' in urls
    entry = (copy / "book" / "citing.md").read_text(encoding="utf-8").split("```")[1]
    assert f"  url     = {{{site}}},\n}}" in entry
    for file in (copy / "notebooks").glob("*.ipynb"):
        notebook = nbformat.read(file, as_version=4)
        nbformat.validate(notebook)
        first = next(cell for cell in notebook.cells if cell.cell_type == "code")
        assert f"git+{address.url}@{address.branch}" in first.source


def test_the_address_in_the_project_itself_is_the_same_everywhere(original, tmp_path):
    for name, text in original.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    now = address_in(ROOT).repository
    assert run(tmp_path, now).stdout == f"{now or 'No repository'}: 0 files changed\n", "run: make repository"
    if now:
        assert run(tmp_path, "").returncode == 0
        assert files_with(now, tmp_path) == set(), "these name the repository outside of the places for it"


def test_no_other_link_leads_to_a_repository_of_the_project(original):
    own = address_in(ROOT).repository.lower()
    name = r"[\w-]+/[\w-]+(?:\.[\w-]+)*"
    link = re.compile(rf"(?:github\.com|githubusercontent\.com|/github)/({name})|//([\w-]+\.github\.io)")
    strays = {
        f"{file}: {match[0]}"
        for file, text in original.items()
        if file != "tools/repository.py"
        for match in link.finditer(BLOCK.sub("", text))
        if (match[1] or match[2]).lower() not in {*OTHERS, own, own and f"{own.split('/')[0]}.github.io"}
    }
    assert strays == set()


def test_a_site_at_an_address_of_its_own_keeps_it(copy):
    config = copy / "_config.yml"
    own = "https://book.example.org/"
    config.write_text(config.read_text().replace('  baseurl: ""', f'  baseurl: "{own}"'), encoding="utf-8")
    assert run(copy, FIRST).returncode == 0
    assert address_in(copy).site == own
    assert yaml.safe_load((copy / "CITATION.cff").read_text())["url"] == own


def test_pages_of_an_owner_have_their_address_without_a_folder():
    assert pages_site("Owner/Owner.github.io") == "https://owner.github.io/"
    assert pages_site("") == ""


@pytest.mark.parametrize(
    "name",
    [
        "book",
        "owner/",
        "/book",
        "owner/a/b",
        "own er/book",
        "-o/book",
        "owner/..",
        "owner/book.git",
        "owner/b;ls",
    ],
)
def test_a_bad_name_gives_one_clear_line_and_changes_nothing(name):
    result = run(ROOT, name)
    assert result.returncode == 2
    assert result.stderr == f"REPO must be owner/name, as in octocat/hello-world; got {name!r}\n"


def test_a_forgotten_name_gives_one_clear_line():
    result = run(ROOT)
    assert result.returncode == 2
    assert result.stderr == "Say which repository: make repository REPO=owner/name (REPO= for none)\n"


@pytest.mark.parametrize("repository", ["", FIRST])
def test_the_first_cell_is_silent_where_the_package_is(repository, capsys):
    exec(bootstrap_source(Address(repository, "main", "")), {})
    assert capsys.readouterr() == ("", "")


def without_the_package(source: str, **names) -> None:
    exec(source.replace('"detr_tutorial"', '"a_package_that_nobody_has"'), names)


def test_without_the_package_the_first_cell_installs_it_from_the_repository():
    class Shell:
        def run_line_magic(self, *call: str) -> None:
            called.append(call)

    called: list[tuple[str, ...]] = []
    without_the_package(bootstrap_source(Address(FIRST, "v1.0", "")), get_ipython=Shell)
    assert called == [("pip", f'install -q "detr-tutorial @ git+https://github.com/{FIRST}@v1.0"')]


def test_without_the_package_and_without_an_address_the_first_cell_says_what_to_do():
    with pytest.raises(ModuleNotFoundError, match="with make lab, or first run %pip install FOLDER"):
        without_the_package(bootstrap_source(Address("", "main", "")))


def test_make_tells_a_forgotten_name_from_an_empty_one():
    make = shutil.which("make")
    if make is None:
        pytest.skip("there is no make here")
    # a make that runs these tests hands its own options on
    env = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    for arguments, ending in [([], ""), (["REPO="], ' ""'), (["REPO=a/b"], ' "a/b"')]:
        command = [make, "--dry-run", "repository", *arguments]
        told = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True).stdout.strip()
        assert told.endswith(f"tools/repository.py{ending}")
