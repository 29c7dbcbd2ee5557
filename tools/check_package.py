"""Build wheel and sdist, look into them, and install the wheel into an environment that holds nothing else.

Usage: python tools/check_package.py      (writes _build/package)

The environment has the wheel, its declared dependencies all the way down, and the kernel that notebooks need:
tools/check_notebooks.py runs every chapter there. To install those dependencies again would take minutes, so
their files are hard links to those of the environment that runs this. The wheel's metadata alone decide which
ones: what no dependency asks for cannot be imported there. pip installs the wheel itself.
"""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
import venv
import zipfile
from importlib import metadata
from pathlib import Path

from build_book import fingerprint
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "_build" / "package"
ENVIRONMENT = FOLDER / "environment"
STAMP = FOLDER / "built_from"
KERNELS, KERNEL = FOLDER / "jupyter", "detr-tutorial-wheel"  # a folder for JUPYTER_PATH, and a name in it
LARGEST = 25_000_000  # bytes
SUFFIXES = {".py", ".typed", ".md", ".json", ".jpg", ".safetensors", ".js", ".css"}
ALSO_IN_SDIST = {
    "pyproject.toml",
    "README.md",
    "LICENSE",
    "LICENSE-TEXT",
    "CHANGELOG.md",
    "CITATION.cff",
    "PKG-INFO",
}


class PackageError(Exception):
    """Something is wrong with the package; the message says what."""


def run(*command: str | Path, cwd: Path = ROOT) -> str:
    """Return what a command prints; PackageError with its output when it fails."""
    # Dates in the archives would make each build another one.
    env = {**os.environ, "SOURCE_DATE_EPOCH": "1767225600", "PYTHONPATH": ""}
    result = subprocess.run(
        command, cwd=cwd, env=env, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    if result.returncode != 0:
        raise PackageError(f"{' '.join(map(str, command))}\n{result.stdout}")
    return result.stdout


def build(target: Path, *options: str) -> Path:
    """Build into an empty folder and return the wheel; without options, the sdist and the wheel from it."""
    shutil.rmtree(target, ignore_errors=True)
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", target, *options)
    [wheel] = target.glob("*.whl")
    return wheel


def package_files(root: Path = ROOT) -> set[str]:
    """Return the files of the package in the checkout, as paths relative to the root."""
    files = (file for file in (root / "detr_tutorial").rglob("*") if file.is_file())
    return {file.relative_to(root).as_posix() for file in files if "__pycache__" not in file.parts}


def difference(found: set[str], wanted: set[str], where: str) -> None:
    for word, names in (("lacks", wanted - found), ("has besides", found - wanted)):
        if names:
            raise PackageError(f"{where} {word}: {', '.join(sorted(names))}")


def check_contents(wheel: Path, sdist: Path, files: set[str]) -> None:
    """Raise PackageError unless both archives hold the package, its metadata, and nothing else."""
    for archive in (wheel, sdist):
        if archive.stat().st_size > LARGEST:
            raise PackageError(f"{archive.name} has {archive.stat().st_size:,} bytes, more than {LARGEST:,}")
    if strange := {name for name in files if Path(name).suffix not in SUFFIXES}:
        raise PackageError(f"what kind of file is that in the package: {', '.join(sorted(strange))}")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    information = {name for name in names if ".dist-info/" in name}
    difference(names - information, files, wheel.name)
    kinds = {name.partition(".dist-info/")[2] for name in information}
    difference(
        kinds, {"METADATA", "WHEEL", "RECORD", "licenses/LICENSE", "licenses/LICENSE-TEXT"}, wheel.name
    )
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    difference(names, files | ALSO_IN_SDIST, sdist.name)


def python_of(environment: Path) -> Path:
    return environment / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def site_of(environment: Path) -> Path:
    """Return the folder of an environment into which packages are installed."""
    return Path(
        sysconfig.get_path("purelib", "venv", vars={"base": str(environment), "platbase": str(environment)})
    )


def dependencies(distribution: metadata.Distribution, *also: str) -> list[metadata.Distribution]:
    """Return what a distribution asks for, directly or not, as installed here, with extras that are named."""
    waiting = [Requirement(line) for line in also]
    found: dict[str, metadata.Distribution] = {}
    done: set[tuple[str, str]] = set()

    def ask(distribution: metadata.Distribution, extra: str) -> None:
        for requirement in map(Requirement, distribution.requires or []):
            if requirement.marker is None or requirement.marker.evaluate({"extra": extra}):
                waiting.append(requirement)

    ask(distribution, "")
    while waiting:
        wanted = waiting.pop()
        name = canonicalize_name(wanted.name)
        found.setdefault(name, metadata.distribution(wanted.name))
        for extra in {"", *wanted.extras}:
            if (name, extra) not in done:
                done.add((name, extra))
                ask(found[name], extra)
    return list(found.values())


def link(distribution: metadata.Distribution, site: Path) -> None:
    """Put the modules of a distribution into another environment, without its scripts."""
    for file in distribution.files or []:
        source = Path(str(distribution.locate_file(file)))
        if ".." in file.parts or (file.suffix == ".pyc" and not source.exists()):
            continue
        target = site / file
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(source, target)
        except OSError:  # another disk, or a system without hard links
            shutil.copy2(source, target)


def install(wheel: Path) -> int:
    """Make the environment anew, with the wheel and what it declares; return the number of dependencies."""
    venv.create(ENVIRONMENT, clear=True, symlinks=os.name != "nt")
    site = site_of(ENVIRONMENT)
    pip = [sys.executable, "-m", "pip", "--python", python_of(ENVIRONMENT), "--disable-pip-version-check"]
    run(*pip, "install", "--quiet", "--no-index", "--no-deps", wheel)
    [package] = metadata.distributions(name="detr-tutorial", path=[str(site)])
    needed = dependencies(package, "ipykernel")
    for distribution in needed:
        link(distribution, site)
    run(*pip, "check")
    return len(needed)


def write_kernel() -> None:
    """Describe the environment's kernel to Jupyter."""
    folder = KERNELS / "kernels" / KERNEL
    folder.mkdir(parents=True, exist_ok=True)
    command = [str(python_of(ENVIRONMENT)), "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    kernel = {"argv": command, "display_name": KERNEL, "language": "python", "env": {"PYTHONPATH": ""}}
    (folder / "kernel.json").write_text(json.dumps(kernel), encoding="utf-8")


def state() -> str:
    """Return a text that changes when the environment must be made again."""
    return fingerprint(ROOT) + (ROOT / "pyproject.toml").read_text(encoding="utf-8") + sys.version


def is_fresh() -> bool:
    """Say whether the environment holds the package as it is now."""
    return STAMP.exists() and STAMP.read_text(encoding="utf-8") == state()


def main() -> int:
    try:
        STAMP.unlink(missing_ok=True)
        before = state()
        wheel = build(FOLDER / "dist")
        [sdist] = wheel.parent.glob("*.tar.gz")
        check_contents(wheel, sdist, package_files())
        again = build(FOLDER / "again", "--sdist", "--wheel")
        for first in (wheel, sdist):
            if (again.parent / first.name).read_bytes() != first.read_bytes():
                raise PackageError(
                    f"{first.name}: a second build has other bytes, or the sdist builds another wheel"
                )
        print(run(sys.executable, "-m", "twine", "check", "--strict", wheel, sdist).strip())
        count = install(wheel)
        write_kernel()
        with tempfile.TemporaryDirectory() as empty:
            print(run(python_of(ENVIRONMENT), "-m", "detr_tutorial.doctor", cwd=Path(empty)).strip())
    except PackageError as error:
        print(error, file=sys.stderr)
        return 1
    STAMP.write_text(before, encoding="utf-8")
    for archive in (wheel, sdist):
        print(f"{archive.stat().st_size / 1e6:5.1f} MB  {archive.name}")
    print(f"The wheel works with its {count} dependencies, direct or not, and nothing else")
    return 0


if __name__ == "__main__":
    sys.exit(main())
