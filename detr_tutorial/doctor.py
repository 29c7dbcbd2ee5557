"""Say whether the package can work here: `python -m detr_tutorial.doctor`.

Prints one line for each thing looked at, and what to do where one is wrong. Needs nothing but Python, to be
able to speak where PyTorch is missing or broken, and uses no network. See book/troubleshooting.md.
"""

import contextlib
import importlib
import io
import json
import platform
import re
import sys
import warnings
from collections.abc import Iterable, Iterator
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

from detr_tutorial import __version__

PACKAGE = Path(__file__).resolve().parent
DISTRIBUTION = "detr-tutorial"
WEIGHTS = ("deformable_detr_shapes", "detr_shapes")
DATA = ("convergence.json", "sampling_statistics.json")
# Parts with compiled code, which one installation can break for another. Others build on PyTorch.
IMPORTS = (
    "torch",
    "torchvision.ops",
    "numpy",
    "scipy.optimize",
    "matplotlib.pyplot",
    "PIL.Image",
    "safetensors.torch",
    "pycocotools.mask",
    "anywidget",
)
# What the shipped detector answers to the first held-out picture: the score of its surest detection.
SCORE, TOLERANCE = 0.8798, 1e-3


class Finding(NamedTuple):
    """One line of the report: `good` is False where something must be done, None where nobody can tell."""

    good: bool | None
    text: str


def numbers(version: str) -> tuple[int, ...]:
    """Return a version as numbers that can be compared: 2.7.1+cpu is (2, 7, 1)."""
    return tuple(int(part) for part in re.findall(r"\d+", version.partition("+")[0])[:3])


def oldest(requirement: str) -> tuple[str, str]:
    """Return (name, oldest version) of a line such as torch>=2.7; the version is empty where it is open."""
    match = re.match(r"([\w.-]+)\s*(?:[^;]*?>=\s*([\w.]+))?", requirement)
    return (match[1], match[2] or "") if match else (requirement, "")


def in_one_line(error: BaseException) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 200 else text[:197] + "..."


def look_at_python(required: str | None) -> Finding:
    """Compare this Python with a Requires-Python such as >=3.11; None leaves it open."""
    here = platform.python_version()
    text = f"Python {here} on {platform.platform()}"
    least = oldest(f"python{required}")[1] if required else ""
    if numbers(here) < numbers(least):
        return Finding(False, f"{text}: too old, Python {least} or newer is needed")
    return Finding(True, text)


def look_at_package(path: Iterable[str]) -> Finding:
    """Say which folder is at work, and whether another of that name stands on the path."""
    text = f"{DISTRIBUTION} {__version__} in {PACKAGE}"
    folders = {(Path(entry) / PACKAGE.name).resolve() for entry in path}
    others = sorted(str(folder) for folder in folders - {PACKAGE} if (folder / "__init__.py").is_file())
    if others:
        return Finding(
            False, f"{text}; another {PACKAGE.name} can take its place: rename or uninstall {others[0]}"
        )
    return Finding(True, text)


def look_at_versions(requirements: Iterable[str]) -> Iterator[Finding]:
    """Compare what is installed with the declared dependencies."""
    for requirement in requirements:
        if "extra ==" in requirement:
            continue
        name, least = oldest(requirement)
        try:
            version = metadata.version(name)
        except metadata.PackageNotFoundError:
            yield Finding(False, f'{name} is missing: pip install "{name}>={least}"')
            continue
        if numbers(version) < numbers(least):
            advice = f'too old, {least} or newer is needed: pip install --upgrade "{name}>={least}"'
            yield Finding(False, f"{name} {version}: {advice}")
        else:
            yield Finding(True, f"{name} {version}")


def look_at_pair() -> Iterator[Finding]:
    """Compare PyTorch with the one that torchvision was built for."""
    try:
        torch, vision = metadata.version("torch"), metadata.version("torchvision")
        wanted = [line for line in metadata.requires("torchvision") or [] if re.match(r"torch\s*==", line)]
    except metadata.PackageNotFoundError:
        return
    for line in wanted:
        version = line.partition("==")[2].partition(";")[0].strip()
        if numbers(version) != numbers(torch):
            advice = "install both together: pip install --upgrade torch torchvision"
            yield Finding(
                False, f"torchvision {vision} was built for torch {version}, here is torch {torch}: {advice}"
            )


def look_at_imports(names: Iterable[str] = IMPORTS) -> Iterator[Finding]:
    """Import what is compiled. Without PyTorch, the parts that build on it are left out."""
    for name in names:
        try:
            with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):
                warnings.simplefilter("ignore")
                importlib.import_module(name)
        except Exception as error:  # a broken installation raises anything
            yield Finding(False, f"import {name} fails: {in_one_line(error)}")
            if name == "torch":
                return


def look_at_files(package: Path = PACKAGE) -> Iterator[Finding]:
    """Say which of the files that come with the package are missing."""
    widgets = sorted(path.stem for path in (package / "widgets").glob("*_explorer.py"))
    photos = package / "data" / "photos"
    try:
        pictures = [
            entry["file"] for entry in json.loads((photos / "credits.json").read_text(encoding="utf-8"))
        ]
    except (OSError, ValueError):
        pictures = ["credits.json"]
    wanted = {
        "widgets' scripts and styles": [
            package / "widgets" / "static" / f"{name}.{suffix}"
            for name in widgets
            for suffix in ("js", "css")
        ],
        "photographs": [photos / name for name in pictures],
        "weights": [
            package / "weights" / f"{name}.{kind}" for name in WEIGHTS for kind in ("safetensors", "json")
        ],
        "results of studies": [package / "data" / name for name in DATA],
    }
    for what, files in wanted.items():
        missing = [file.relative_to(package).as_posix() for file in files if not file.is_file()]
        if missing or not files:
            names = ", ".join(missing) or "all of them"
            yield Finding(
                False, f"{what} are missing ({names}): pip install --force-reinstall --no-deps {DISTRIBUTION}"
            )
        else:
            yield Finding(True, f"{what}: all {len(files)} files")


def look_at_torch() -> Iterator[Finding]:
    """Say where PyTorch computes, and whether it can talk to NumPy."""
    import torch

    if torch.cuda.is_available():
        device = f"cuda, {torch.cuda.get_device_name()}"
    elif torch.backends.mps.is_available():
        device = "mps"
    else:
        device = "cpu"
    yield Finding(True, f"device {device}; {torch.get_num_threads()} threads")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.zeros(1).numpy()
    except Exception as error:  # PyTorch raises RuntimeError, and not only that
        advice = "this torch was built for another NumPy: pip install --upgrade torch torchvision numpy"
        yield Finding(False, f"torch cannot hand numbers to numpy ({in_one_line(error)}); {advice}")


def look_at_detector() -> Finding:
    """Run the shipped detector on one drawn picture and compare its surest score with the stored one."""
    import torch

    from detr_tutorial.checkpoints import load_pretrained
    from detr_tutorial.data.shapes import ShapesDataset
    from detr_tutorial.training import HELD_OUT_SEED

    image, _ = ShapesDataset(1, HELD_OUT_SEED)[0]
    with torch.no_grad():
        [found] = load_pretrained(WEIGHTS[0]).predict([image], threshold=0.0)
    score = found["scores"][0].item()  # best first
    text = f"the shipped detector is sure of its first answer to {score:.4f}"
    if abs(score - SCORE) > TOLERANCE:
        return Finding(False, f"{text}, and {SCORE:.4f} elsewhere: torch computes something else here")
    return Finding(True, text)


def examine() -> Iterator[Finding]:
    """Look at everything, in the order in which one thing needs the other."""
    try:
        declared = metadata.distribution(DISTRIBUTION)
    except metadata.PackageNotFoundError:
        declared = None
    yield look_at_python(declared.metadata["Requires-Python"] if declared else None)
    yield look_at_package(sys.path)
    if declared:
        yield from look_at_versions(declared.requires or [])
    else:
        yield Finding(None, "not installed by pip: versions of other packages are not compared")
    yield from look_at_files()
    broken = [*look_at_pair(), *look_at_imports()]
    yield from broken
    if broken:
        yield Finding(None, "the detector is not tried before that is repaired")
        return
    yield from look_at_torch()
    try:
        yield look_at_detector()
    except Exception as error:  # whatever it is, its reader needs the line and not the traceback
        yield Finding(
            False, f"the shipped detector does not run: {type(error).__name__}: {in_one_line(error)}"
        )


def main() -> int:
    """Print the report; return 0 where all is well, else 1."""
    wrong = 0
    words = {True: "ok   ", False: "WRONG", None: "?    "}
    for finding in examine():
        wrong += finding.good is False
        print(words[finding.good], finding.text, flush=True)
    print(f"{wrong} of these lines need something to be done" if wrong else "OK")
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
