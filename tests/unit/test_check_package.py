"""The check of wheel and sdist finds what is missing, and links what is declared and nothing else."""

import importlib
import io
import sys
import tarfile
import zipfile
from importlib import metadata
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
INFORMATION = ("METADATA", "WHEEL", "RECORD", "licenses/LICENSE", "licenses/LICENSE-TEXT")
FILES = {"detr_tutorial/__init__.py", "detr_tutorial/weights/small.json"}


@pytest.fixture
def check_package(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "tools")  # the tools import each other as scripts do
    for name in ("check_package", "build_book"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    return importlib.import_module("check_package")


def archives(check_package, folder: Path, wheel_lacks=(), sdist_lacks=(), more=()) -> tuple[Path, Path]:
    wheel, sdist = folder / "a.whl", folder / "a.tar.gz"
    with zipfile.ZipFile(wheel, "w") as archive:
        for name in [*(FILES - set(wheel_lacks)), *(f"a.dist-info/{name}" for name in INFORMATION), *more]:
            archive.writestr(name, "")
    with tarfile.open(sdist, "w:gz") as archive:
        for name in (FILES | check_package.ALSO_IN_SDIST) - set(sdist_lacks):
            archive.addfile(tarfile.TarInfo(f"a-1/{name}"), io.BytesIO())
    return wheel, sdist


def test_whole_archives_pass(check_package, tmp_path):
    check_package.check_contents(*archives(check_package, tmp_path), FILES)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"wheel_lacks": ["detr_tutorial/weights/small.json"]},
            "a.whl lacks: detr_tutorial/weights/small.json",
        ),
        ({"sdist_lacks": ["LICENSE"]}, "a.tar.gz lacks: LICENSE"),
        ({"more": ["tests/test_it.py"]}, "a.whl has besides: tests/test_it.py"),
        ({"more": ["a.dist-info/entry_points.txt"]}, "a.whl has besides: entry_points.txt"),
    ],
)
def test_archives_that_lack_a_file_or_have_one_more_fail(check_package, tmp_path, change, message):
    with pytest.raises(check_package.PackageError, match=f"^{message}$"):
        check_package.check_contents(*archives(check_package, tmp_path, **change), FILES)


def test_archives_that_are_too_large_or_hold_strange_files_fail(check_package, tmp_path, monkeypatch):
    wheel, sdist = archives(check_package, tmp_path)
    with pytest.raises(check_package.PackageError, match=r"what kind of file .*: detr_tutorial/notes\.swp"):
        check_package.check_contents(wheel, sdist, {*FILES, "detr_tutorial/notes.swp"})
    monkeypatch.setattr(check_package, "LARGEST", 10)
    with pytest.raises(check_package.PackageError, match=r"a\.whl has .* bytes, more than 10"):
        check_package.check_contents(wheel, sdist, FILES)


def test_dependencies_are_followed_all_the_way_with_the_extras_that_are_asked_for(
    check_package, tmp_path, monkeypatch
):
    requires = {
        "quokka": ["numbat[fast]>=1", 'wombat; extra == "test"', 'dingo; python_version < "3"'],
        "numbat": ["bilby", 'potoroo; extra == "fast"', 'dunnart; extra == "slow"'],
        "bilby": ["numbat"],  # in a circle
        **dict.fromkeys(("potoroo", "wombat", "dingo", "dunnart", "also"), ()),
    }
    for name, lines in requires.items():
        folder = tmp_path / f"{name}-1.0.dist-info"
        folder.mkdir()
        text = "".join(f"Requires-Dist: {line}\n" for line in lines)
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n{text}")
    monkeypatch.syspath_prepend(tmp_path)
    found = check_package.dependencies(metadata.distribution("quokka"), "also")
    assert sorted(each.metadata["Name"] for each in found) == ["also", "bilby", "numbat", "potoroo"]


def test_linked_modules_are_there_and_scripts_are_not(check_package, tmp_path, monkeypatch):
    here, there = tmp_path / "lib" / "site", tmp_path / "other"
    (here / "quokka").mkdir(parents=True)
    (here / "quokka" / "__init__.py").write_text("SMILE = 1\n")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "quokka").write_text("")
    information = here / "quokka-1.0.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: quokka\nVersion: 1.0\n")
    lines = ["quokka/__init__.py,,", "quokka-1.0.dist-info/METADATA,,", "../../bin/quokka,,"]
    (information / "RECORD").write_text("\n".join(lines) + "\n")
    monkeypatch.syspath_prepend(here)
    check_package.link(metadata.distribution("quokka"), there)
    files = {file.relative_to(tmp_path).as_posix() for file in there.rglob("*") if file.is_file()}
    assert files == {"other/quokka/__init__.py", "other/quokka-1.0.dist-info/METADATA"}
    assert (there / "quokka" / "__init__.py").read_text() == "SMILE = 1\n"
