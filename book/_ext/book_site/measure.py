"""What running a chapter costs, taken from the run that made the page.

Seconds come from jupyter-cache. Peak memory is the kernel's own high-water mark, read after every cell
where the system tells it (Linux), and kept beside the cache under the hash of the chapter's code.
"""

import hashlib
import json
from pathlib import Path
from typing import cast

import myst_nb.core.execute.cache as cached_execution
from jupyter_client.manager import KernelManager
from myst_nb.sphinx_ import NbMetadataCollector, SphinxEnvType
from nbformat import NotebookNode
from sphinx.application import Sphinx

# Warnings about the kernel's own transport say nothing about a chapter.
QUIET = ["--log-level=40"]
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


def run_and_measure(notebook: NotebookNode, **options):
    name = notebook.metadata.get("kernelspec", {}).get("name", "python3")
    manager = KernelManager(kernel_name=name)
    peaks: list[int] = []

    def after_cell(**_) -> None:
        peak = peak_bytes(getattr(manager.provisioner, "pid", None))
        if peak is not None:
            peaks.append(peak)

    key = code_hash(notebook)
    try:
        result = run_notebook(
            notebook, km=manager, on_cell_executed=after_cell, extra_arguments=QUIET, **options
        )
    finally:
        if manager.has_kernel:
            manager.shutdown_kernel(now=True)
    if peaks and result.err is None and FOLDER:
        FOLDER[0].mkdir(parents=True, exist_ok=True)
        (FOLDER[0] / f"{key}.json").write_text(json.dumps({"peak_bytes": max(peaks)}), encoding="utf-8")
    return result


def cost_of(app: Sphinx, docname: str) -> list[str]:
    """Return the measured facts of a chapter's run, each a few words; an empty list when it has none."""
    data = NbMetadataCollector.get_exec_data(cast(SphinxEnvType, app.env), docname) or {}
    facts = []
    if data.get("runtime") is not None:
        facts.append(f"{data['runtime']:.1f} s to run")
    source = Path(app.env.doc2path(docname))
    if source.suffix == ".ipynb" and FOLDER:
        notebook = NotebookNode(
            cells=[
                NotebookNode(cell_type=cell["cell_type"], source="".join(cell["source"]))
                for cell in json.loads(source.read_text(encoding="utf-8"))["cells"]
            ]
        )
        file = FOLDER[0] / f"{code_hash(notebook)}.json"
        if file.exists():
            facts.append(f"{json.loads(file.read_text())['peak_bytes'] / 2**20:.0f} MB of memory at its peak")
    return facts


def remember_folder(app: Sphinx) -> None:
    FOLDER[:] = [Path(cast(SphinxEnvType, app.env).mystnb_config.execution_cache_path) / "measured"]


def setup(app: Sphinx) -> None:
    cached_execution.single_nb_execution = run_and_measure
    app.connect("builder-inited", remember_folder, priority=900)
