"""A cell that fails, a formula that KaTeX refuses, or a link into nowhere: each fails the build."""

import re
import subprocess
import sys
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import nbformat
import pytest
import yaml

from .conftest import ROOT


def make_book(folder: Path, page: str, cell: str, change=lambda config: None) -> subprocess.CompletedProcess:
    """Build a book of one page and one notebook with the real configuration, after a change of it."""
    config = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))
    change(config)
    config["sphinx"]["local_extensions"] = {"book_site": str(ROOT / "book" / "_ext")}
    config["sphinx"]["config"]["html_static_path"] = [str(ROOT / "book" / "_static")]
    config["bibtex_bibfiles"] = [str(ROOT / "book" / "references.bib")]
    (folder / "_config.yml").write_text(yaml.safe_dump(config), encoding="utf-8")
    toc = {"format": "jb-book", "root": "intro", "chapters": [{"file": "10_small"}]}
    (folder / "_toc.yml").write_text(yaml.safe_dump(toc), encoding="utf-8")
    (folder / "intro.md").write_text(f"# A small book\n\n{page}\n", encoding="utf-8")
    nb = nbformat.v4
    notebook = nb.new_notebook(cells=[nb.new_markdown_cell("# Ten"), nb.new_code_cell(cell)])
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3 (ipykernel)"}
    notebook.metadata["language_info"] = {"name": "python"}
    nbformat.write(notebook, folder / "10_small.ipynb")
    return subprocess.run(
        [sys.executable, str(ROOT / "tools" / "build_book.py"), str(folder)],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
    )


def test_a_sound_book_builds_and_shows_its_output(tmp_path):
    page = "Some $x^2$.\n\n```{status} summary\n```\n\n```{status} chapters\n```\n\n```{status} versions\n```"
    result = make_book(tmp_path, page, "print(6 * 7)")
    assert result.returncode == 0, result.stderr
    assert "index.html" in result.stdout
    html = (tmp_path / "_build/html/10_small.html").read_text(encoding="utf-8")
    assert "42" in html
    assert "s to run" in html
    assert "nothing downloaded" in html
    # the status of the run stands on the other page, as the run recorded it
    status = re.sub(r"<[^>]*>", " ", (tmp_path / "_build/html/intro.html").read_text(encoding="utf-8"))
    cost = re.search(r"(\d+\.\d s) to run, (\d+ MB) of memory", html)
    assert cost
    assert cost[1] in status
    assert cost[2] in status
    assert "1 of the 1 chapters were run" in status
    assert "Downloads: 0 connections" in status
    assert datetime.now(UTC).strftime("%Y-%m-") in status
    for package in ("torch", "numpy"):
        assert re.search(rf"{package}\s+{re.escape(version(package))}\s", status)


def test_a_run_that_connects_to_another_machine_does_not_claim_otherwise(tmp_path):
    # the event that a connection raises, without one
    cell = "import sys\nsys.audit('socket.connect', None, ('192.0.2.1', 443))"
    assert make_book(tmp_path, "Fine.", cell).returncode == 0
    html = (tmp_path / "_build/html/10_small.html").read_text(encoding="utf-8")
    assert "s to run" in html
    assert "nothing downloaded" not in html


@pytest.mark.parametrize(
    ("page", "cell", "told"),
    [
        ("Fine.", "1 / 0", "ZeroDivisionError"),
        ("A formula $\\frac{1$ that is not closed.", "1", "KaTeX"),
        ("A [link](nowhere.md) into nowhere.", "1", "nowhere"),
    ],
    ids=["a failing cell", "a broken formula", "a broken link"],
)
def test_a_mistake_fails_the_build_and_is_named(tmp_path, page, cell, told):
    result = make_book(tmp_path, page, cell)
    assert result.returncode != 0
    assert told in result.stdout + result.stderr
