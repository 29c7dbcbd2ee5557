"""What running a chapter costs, taken from the run that made the page.

Seconds come from jupyter-cache. Peak memory is the kernel's own high-water mark, read after every cell
where the system tells it (Linux). Connections that leave the machine are counted by an audit hook in the
kernel. Both are kept beside the cache under the hash of the chapter's code.
What was not measured is not shown.
"""

import hashlib
import json
import tempfile
from pathlib import Path
from typing import cast

import myst_nb.core.execute.cache as cached_execution
import nbformat
from jupyter_client.manager import KernelManager
from myst_nb.sphinx_ import NbMetadataCollector, SphinxEnvType
from nbformat import NotebookNode
from sphinx.application import Sphinx

# Warnings about the kernel's own transport say nothing about a chapter.
QUIET = ["--log-level=40"]
WATCH = Path(__file__).with_name("watch_network.py")
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


def connections(report: Path) -> int | None:
    """Return how many connections left the machine, or None when nobody watched."""
    try:
        lines = report.read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    return len(lines) - 1 if lines[:1] == ["watching"] else None


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
        report = Path(folder) / "connections.txt"
        watch = f"__import__('runpy').run_path({str(WATCH)!r}, {{'REPORT': {str(report)!r}}})"
        arguments = [*QUIET, f"--IPKernelApp.exec_lines={watch}"]
        try:
            result = run_notebook(
                notebook, km=manager, on_cell_executed=after_cell, extra_arguments=arguments, **options
            )
        finally:
            if manager.has_kernel:
                manager.shutdown_kernel(now=True)
        connected = connections(report)
    if result.err is None and FOLDER:
        FOLDER[0].mkdir(parents=True, exist_ok=True)
        measured = {"peak_bytes": max(peaks, default=None), "connections": connected}
        (FOLDER[0] / f"{key}.json").write_text(json.dumps(measured), encoding="utf-8")
    return result


def cost_of(app: Sphinx, docname: str) -> list[str]:
    """Return the measured facts of a chapter's run, each a few words; an empty list when it has none."""
    data = NbMetadataCollector.get_exec_data(cast(SphinxEnvType, app.env), docname) or {}
    facts = []
    if data.get("runtime") is not None:
        facts.append(f"{data['runtime']:.1f} s to run")
    source = Path(app.env.doc2path(docname))
    if source.suffix == ".ipynb" and FOLDER:
        file = FOLDER[0] / f"{code_hash(nbformat.read(source, as_version=4))}.json"
        measured = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
        if measured.get("peak_bytes") is not None:
            peak = measured["peak_bytes"]
            size = f"{peak / 1e9:.1f} GB" if peak >= 1e9 else f"{peak / 1e6:.0f} MB"
            facts.append(f"{size} of memory at its peak")
        if measured.get("connections") == 0:
            facts.append("nothing downloaded")
    return facts


def remember_folder(app: Sphinx) -> None:
    FOLDER[:] = [Path(cast(SphinxEnvType, app.env).mystnb_config.execution_cache_path) / "measured"]


def setup(app: Sphinx) -> None:
    cached_execution.single_nb_execution = run_and_measure
    app.connect("builder-inited", remember_folder, priority=900)
