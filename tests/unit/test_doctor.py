"""The doctor says what is wrong, in one line each, whatever is broken."""

import importlib
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from detr_tutorial import doctor
from detr_tutorial.doctor import Finding

ROOT = Path(__file__).resolve().parents[2]


def run(*folders: Path, before: str = "") -> tuple[int, list[str]]:
    """Run the doctor in its own process, with folders that come first; return its exit code and lines."""
    code = f"{before}\nimport runpy; runpy.run_module('detr_tutorial.doctor', run_name='__main__')"
    path = [*map(str, folders), str(ROOT)]
    script = f"import sys; sys.path[:0] = {path}\n{code}"
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert result.stderr == ""
    return result.returncode, result.stdout.splitlines()


def distribution(folder: Path, name: str, version: str, *requires: str) -> None:
    """Put the description of an installed package into a folder."""
    info = folder / f"{name}-{version}.dist-info"
    info.mkdir(parents=True)
    lines = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}"]
    (info / "METADATA").write_text(
        "\n".join([*lines, *(f"Requires-Dist: {line}" for line in requires)]) + "\n"
    )


def module(folder: Path, name: str, code: str) -> None:
    (folder / name).mkdir(parents=True)
    (folder / name / "__init__.py").write_text(code)


def wrong(lines: list[str]) -> list[str]:
    return [line for line in lines if line.startswith("WRONG")]


def test_a_whole_installation_is_ok_without_a_network():
    no_network = (
        "import socket\ndef refuse(*_, **__): raise OSError('no network')\nsocket.socket.connect = refuse"
    )
    code, lines = run(before=f"{no_network}\nsocket.getaddrinfo = refuse")
    assert (code, wrong(lines), lines[-1]) == (0, [], "OK")
    text = "\n".join(lines)
    for words in ("Python 3", "detr-tutorial", "torch 2", "device", "weights: all", "0.8798"):
        assert words in text
    assert all(re.match(r"(ok   |\?    ) \S", line) for line in lines[:-1])


def test_a_torch_that_cannot_be_loaded_is_named_with_its_reason(tmp_path):
    module(tmp_path, "torch", "raise OSError('libtorch_cpu.so: cannot open\\nshared object file')")
    code, lines = run(tmp_path)
    assert code == 1
    [line] = wrong(lines)
    assert line == "WRONG import torch fails: libtorch_cpu.so: cannot open shared object file"
    assert "?     the detector is not tried before that is repaired" in lines


def test_a_missing_torch_and_torchvision_are_named_with_what_to_type(tmp_path):
    package = ["torch>=2.7", "torchvision>=0.22", 'pytest>=8; extra == "test"']
    distribution(tmp_path, "detr_tutorial", "9.9", *package)
    hide = (
        "import sys; from importlib import metadata; known = metadata.version\n"
        "def version(name):\n"
        "    if name in ('torch', 'torchvision'): raise metadata.PackageNotFoundError(name)\n"
        "    return known(name)\n"
        "metadata.version = version; sys.modules['torch'] = None"
    )
    code, lines = run(tmp_path, before=hide)
    assert code == 1
    assert wrong(lines)[:2] == [
        'WRONG torch is missing: pip install "torch>=2.7"',
        'WRONG torchvision is missing: pip install "torchvision>=0.22"',
    ]
    assert not any("pytest" in line for line in lines), "nobody needs the tests"


@pytest.mark.parametrize(
    ("version", "good"), [("3.10.13", False), ("3.11.0", True), ("3.9.18", False), ("3.13.0", True)]
)
def test_an_old_python_is_refused_by_number_and_not_by_letter(monkeypatch, version, good):
    monkeypatch.setattr(doctor.platform, "python_version", lambda: version)
    finding = doctor.look_at_python(">=3.11")
    assert finding.good is good
    assert finding.text.startswith(f"Python {version} on ")
    assert ("too old, Python 3.11 or newer is needed" in finding.text) is not good
    assert doctor.look_at_python(None).good


def test_versions_outside_the_range_are_named_with_the_oldest_that_works(tmp_path, monkeypatch):
    distribution(tmp_path, "torch", "2.10.1+cpu")
    distribution(tmp_path, "numpy", "1.9.3")
    monkeypatch.syspath_prepend(tmp_path)
    torch, numpy = doctor.look_at_versions(["torch>=2.7", "numpy>=1.26"])
    assert torch == Finding(True, "torch 2.10.1+cpu")
    advice = 'too old, 1.26 or newer is needed: pip install --upgrade "numpy>=1.26"'
    assert numpy == Finding(False, f"numpy 1.9.3: {advice}")


def test_a_torchvision_for_another_torch_is_found(tmp_path, monkeypatch):
    assert list(doctor.look_at_pair()) == []
    distribution(tmp_path, "torch", "2.7.1")
    distribution(tmp_path, "torchvision", "0.21.0", "numpy", "torch==2.6.0")
    monkeypatch.syspath_prepend(tmp_path)
    [finding] = doctor.look_at_pair()
    assert not finding.good
    assert "torchvision 0.21.0 was built for torch 2.6.0, here is torch 2.7.1" in finding.text


def test_a_torch_built_for_another_numpy_is_found(monkeypatch):
    torch = importlib.import_module("torch")

    class Alone:
        def numpy(self):
            raise RuntimeError("Numpy is not available")

    monkeypatch.setattr(torch, "zeros", lambda *_: Alone())
    device, finding = doctor.look_at_torch()
    assert device.good
    assert not finding.good
    assert "Numpy is not available" in finding.text
    assert "built for another NumPy" in finding.text


def test_other_folders_of_the_same_name_are_found(tmp_path):
    assert doctor.look_at_package([str(doctor.PACKAGE.parent), str(tmp_path)]).good
    module(tmp_path, "detr_tutorial", "")
    finding = doctor.look_at_package([str(tmp_path), str(doctor.PACKAGE.parent)])
    assert not finding.good
    assert str(tmp_path / "detr_tutorial") in finding.text


@pytest.mark.parametrize(
    ("gone", "kind"),
    [
        ("widgets/static/token_explorer.js", "widgets' scripts and styles"),
        ("data/photos/cat.jpg", "photographs"),
        ("data/photos/credits.json", "photographs"),
        ("weights/deformable_detr_shapes.safetensors", "weights"),
        ("data/convergence.json", "results of studies"),
    ],
)
def test_missing_files_are_named(tmp_path, gone, kind):
    shutil.copytree(doctor.PACKAGE, tmp_path / "package", ignore=shutil.ignore_patterns("__pycache__"))
    assert all(finding.good for finding in doctor.look_at_files(tmp_path / "package"))
    (tmp_path / "package" / gone).unlink()
    [finding] = [finding for finding in doctor.look_at_files(tmp_path / "package") if not finding.good]
    assert finding.text.startswith(f"{kind} are missing ({gone})")


def test_lists_in_the_doctor_are_those_of_the_package():
    from detr_tutorial.checkpoints import SHIPPED

    assert sorted(doctor.WEIGHTS) == sorted(path.stem for path in SHIPPED.glob("*.safetensors"))
    assert sorted(doctor.DATA) == sorted(path.name for path in (doctor.PACKAGE / "data").glob("*.json"))
    photos = doctor.PACKAGE / "data" / "photos"
    known = {entry["file"] for entry in json.loads((photos / "credits.json").read_text(encoding="utf-8"))}
    assert known == {path.name for path in photos.glob("*.jpg")}


def test_a_detector_that_answers_something_else_or_raises_is_reported(monkeypatch):
    monkeypatch.setattr(doctor, "SCORE", 0.5)
    assert "and 0.5000 elsewhere" in doctor.look_at_detector().text
    monkeypatch.setattr(doctor, "WEIGHTS", ("nothing_here",))
    monkeypatch.setattr(doctor, "look_at_files", list)
    monkeypatch.setattr(doctor, "look_at_imports", list)
    *_, last = doctor.examine()
    assert last.good is False
    assert last.text.startswith("the shipped detector does not run: ")


def test_a_package_that_pip_did_not_install_is_still_examined(monkeypatch):
    monkeypatch.setattr(doctor, "DISTRIBUTION", "not-installed-by-pip")
    found = list(doctor.examine())
    assert Finding(None, "not installed by pip: versions of other packages are not compared") in found
    assert not [finding for finding in found if finding.good is False]
