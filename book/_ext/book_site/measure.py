"""What running a chapter costs, taken from the run that made the page.

Seconds come from jupyter-cache. Peak memory is the kernel's own high-water mark, read after every cell
where the system tells it (Linux). Connections that leave the machine are counted by an audit hook in the
kernel, which also says which versions it has. All this is kept, with the date, beside the cache under the
hash of the chapter's code, so outputs taken from the cache keep the date of their run.
What was not measured is not shown.
"""

import hashlib
import json
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple, cast

import myst_nb.core.execute.cache as cached_execution
import nbformat
from jupyter_client.manager import KernelManager
from myst_nb.sphinx_ import NbMetadataCollector, SphinxEnvType
from nbformat import NotebookNode
from sphinx.application import Sphinx

# Warnings about the kernel's own transport say nothing about a chapter.
QUIET = ["--log-level=40"]
REPORTER = Path(__file__).with_name("kernel_report.py")
FOLDER: list[Path] = []
run_notebook = cached_execution.single_nb_execution


def code_hash(notebook: NotebookNode) -> str:
    sources = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
    return hashlib.sha256(json.dumps(sources).encode()).hexdigest()[:24]


def peak_bytes(pid: int | None) -> int | None:
    """Return the largest resident size that process ever had, or None where the system does not say."""
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
        line = next(line for line in status.splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024
    except (OSError, StopIteration, ValueError):
        return None


class Run(NamedTuple):
    """What is known of the run whose outputs a page shows; None where nobody measured."""

    seconds: float
    date: str | None  # UTC, as "2026-11-22 14:19"
    peak_bytes: int | None
    connections: int | None
    versions: dict[str, str | None] | None
    machine: str | None


def read_report(report: Path) -> dict[str, Any]:
    """Return what the kernel said of itself, and how many connections left the machine."""
    try:
        environment, *hosts = report.read_text(encoding="utf-8").splitlines()
        return {**json.loads(environment), "connections": len(hosts)}
    except (OSError, ValueError):
        return {"connections": None, "versions": None, "machine": None}


def run_and_measure(notebook: NotebookNode, **options):
    """Run a notebook as jupyter-cache does; note its peak memory and its connections to other machines."""
    name = notebook.metadata.get("kernelspec", {}).get("name", "python3")
    manager = KernelManager(kernel_name=name)
    peaks: list[int] = []

    def after_cell(**_) -> None:
        peak = peak_bytes(getattr(manager.provisioner, "pid", None))
        if peak is not None:
            peaks.append(peak)

    key = code_hash(notebook)
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.txt"
        watch = f"__import__('runpy').run_path({str(REPORTER)!r}, {{'REPORT': {str(report)!r}}})"
        arguments = [*QUIET, f"--IPKernelApp.exec_lines={watch}"]
        try:
            result = run_notebook(
                notebook, km=manager, on_cell_executed=after_cell, extra_arguments=arguments, **options
            )
        finally:
            if manager.has_kernel:
                manager.shutdown_kernel(now=True)
        said = read_report(report)
    if result.err is None and FOLDER:
        FOLDER[0].mkdir(parents=True, exist_ok=True)
        date = datetime.now(UTC).strftime("%Y-%m-%d %H:%M")
        measured = {"date": date, "peak_bytes": max(peaks, default=None), **said}
        (FOLDER[0] / f"{key}.json").write_text(json.dumps(measured), encoding="utf-8")
    return result


def run_of(app: Sphinx, docname: str) -> Run | None:
    """Return the run that made a page's outputs, or None when this build has none."""
    data = NbMetadataCollector.get_exec_data(cast(SphinxEnvType, app.env), docname) or {}
    source = Path(app.env.doc2path(docname))
    seconds = data.get("runtime")
    if seconds is None or source.suffix != ".ipynb":
        return None
    file = FOLDER[0] / f"{code_hash(nbformat.read(source, as_version=4))}.json" if FOLDER else Path()
    measured = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    return Run(seconds, *(measured.get(name) for name in Run._fields[1:]))


def memory_text(size: int) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.0f} MB"


def cost_of(app: Sphinx, docname: str) -> list[str]:
    """Return the measured facts of a chapter's run, each a few words; an empty list when it has none."""
    run = run_of(app, docname)
    if run is None:
        return []
    facts = [f"{run.seconds:.1f} s to run"]
    if run.peak_bytes is not None:
        facts.append(f"{memory_text(run.peak_bytes)} of memory at its peak")
    if run.connections == 0:
        facts.append("nothing downloaded")
    return facts


def remember_folder(app: Sphinx) -> None:
    FOLDER[:] = [Path(cast(SphinxEnvType, app.env).mystnb_config.execution_cache_path) / "measured"]


def setup(app: Sphinx) -> None:
    cached_execution.single_nb_execution = run_and_measure
    app.connect("builder-inited", remember_folder, priority=900)
