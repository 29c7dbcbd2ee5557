"""Run notebooks from a fresh kernel and keep their outputs in them, without noise in the diff.

Usage: python tools/run_notebooks.py [NOTEBOOK ...]      (none: all of notebooks/)
       python tools/run_notebooks.py --check [NOTEBOOK ...]   only say which are not tidy

A second run of an unchanged notebook leaves the file as it is: no times, no widget state, no random ids.
"""

import copy
import re
import sys
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbformat import NotebookNode

ROOT = Path(__file__).resolve().parents[1]
KERNEL = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
WIDGET_TYPES = ("application/vnd.jupyter.widget-view+json", "application/vnd.jupyter.widget-state+json")


def slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:40]


def stable_ids(notebook: NotebookNode, stem: str) -> None:
    """Replace the random ids that editors give; ids that somebody chose stay."""
    random_id = re.compile(r"^([0-9a-f]{8}|[0-9a-f]{8}-[0-9a-f-]{27}|[A-Za-z0-9_]{12})$")
    number = stem.split("_")[0]
    taken = {cell.id for cell in notebook.cells if not random_id.match(cell.id)}
    for position, cell in enumerate(notebook.cells, start=1):
        if random_id.match(cell.id) and "-" not in cell.id[:4]:
            cell.id = f"ch{number}-cell-{position:02d}"
            while cell.id in taken:
                cell.id += "b"
            taken.add(cell.id)


def merge_streams(outputs: list[NotebookNode]) -> list[NotebookNode]:
    """Join neighboring pieces of one stream: where a kernel splits its text is a matter of timing."""
    merged: list[NotebookNode] = []
    for output in outputs:
        before = merged[-1] if merged else None
        same = before is not None and output.output_type == "stream" == before.output_type
        if same and before is not None and before.name == output.name:
            before.text += output.text
        else:
            merged.append(output)
    return merged


def kept_metadata(cell: NotebookNode) -> tuple[str, ...]:
    """Return which of its metadata a cell keeps; the bootstrap cell is folded where a reader runs it."""
    folded = ("cellView", "jupyter") if "bootstrap" in cell.metadata.get("tags", []) else ()
    return ("tags", "mystnb", *folded)


def tidy(notebook: NotebookNode, stem: str) -> NotebookNode:
    """Return the notebook without anything that changes from run to run."""
    notebook = copy.deepcopy(notebook)
    described = {key: notebook.metadata[key] for key in ("description",) if key in notebook.metadata}
    notebook.metadata = NotebookNode(
        kernelspec=NotebookNode(KERNEL), language_info=NotebookNode(name="python"), **described
    )
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    stable_ids(notebook, stem)
    count = 0
    for cell in notebook.cells:
        cell.metadata = NotebookNode(
            {key: cell.metadata[key] for key in kept_metadata(cell) if key in cell.metadata}
        )
        if cell.cell_type != "code":
            cell.pop("attachments", None)
            continue
        cell.outputs = merge_streams(cell.outputs)
        if cell.execution_count is not None:
            count += 1
            cell.execution_count = count
        for output in cell.outputs:
            if output.output_type == "execute_result":
                output.execution_count = cell.execution_count
            for kind in WIDGET_TYPES:
                output.get("data", {}).pop(kind, None)
            if "metadata" in output:  # the size that a picture asks for stays
                output.metadata = NotebookNode(
                    {kind: value for kind, value in output.metadata.items() if kind.startswith("image/")}
                )
    return notebook


def write(notebook: NotebookNode, path: Path) -> bool:
    """Write the notebook if it differs from the file; return whether it did."""
    text = nbformat.writes(notebook, version=nbformat.NO_CONVERT) + "\n"
    if path.exists() and path.read_text(encoding="utf-8") == text:
        return False
    path.write_text(text, encoding="utf-8")
    return True


def run(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    started = time.perf_counter()
    NotebookClient(
        notebook,
        timeout=300,
        kernel_name="python3",
        resources={"metadata": {"path": str(path.parent)}},
        extra_arguments=["--log-level=40"],  # the kernel's remarks about its transport
    ).execute()
    changed = write(tidy(notebook, path.stem), path)
    word = "changed" if changed else "as before"
    print(f"{path.name:<36} {time.perf_counter() - started:5.1f} s   {word}", flush=True)


def main() -> int:
    arguments = [argument for argument in sys.argv[1:] if argument != "--check"]
    paths = [Path(argument) for argument in arguments] or sorted((ROOT / "notebooks").glob("*.ipynb"))
    if "--check" in sys.argv[1:]:
        untidy = []
        for path in paths:
            notebook = nbformat.read(path, as_version=4)
            text = nbformat.writes(tidy(notebook, path.stem), version=nbformat.NO_CONVERT) + "\n"
            if text != path.read_text(encoding="utf-8"):
                untidy.append(path.name)
        if untidy:
            print(f"Not tidy: {', '.join(untidy)}. Run: make notebooks", file=sys.stderr)
        return int(bool(untidy))
    for path in paths:
        run(path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
