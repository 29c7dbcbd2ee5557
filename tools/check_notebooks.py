"""Run every chapter from the wheel alone, as a reader in Colab does, and compare its stored outputs.

Usage: python tools/check_notebooks.py [PYTEST ARGUMENT ...]

Each notebook lies alone in an empty folder outside the checkout. Its kernel belongs to the environment that
tools/check_package.py makes; that runs first where the package has changed since. One notebook more asks this
kernel where it has the package from.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import check_package
import nbformat
from nbformat.v4 import new_code_cell, new_notebook

ROOT = check_package.ROOT
WHERE = f"""\
import sys
from pathlib import Path

import detr_tutorial

assert Path(detr_tutorial.__file__).is_relative_to(sys.prefix), detr_tutorial.__file__
assert not any(Path(entry).resolve() == Path({str(ROOT)!r}) for entry in sys.path), sys.path
assert Path(sys.prefix) == Path({str(check_package.ENVIRONMENT)!r}), sys.prefix
"""


def lay_out(target: Path) -> None:
    """Give each notebook a folder of its own, and one to the question where the package comes from."""
    for notebook in sorted((ROOT / "notebooks").glob("*.ipynb")):
        (target / notebook.stem).mkdir()
        shutil.copy(notebook, target / notebook.stem)
    (target / "where").mkdir()
    nbformat.write(new_notebook(cells=[new_code_cell(WHERE)]), target / "where" / "where.ipynb")


def main() -> int:
    if not check_package.is_fresh() and (code := check_package.main()) != 0:
        return code
    env = {**os.environ, "JUPYTER_PATH": str(check_package.KERNELS)}
    options = ["--nbval", f"--nbval-kernel-name={check_package.KERNEL}", "--nbval-cell-timeout=600"]
    with tempfile.TemporaryDirectory(prefix="notebooks_") as folder:
        lay_out(Path(folder))
        command = [
            sys.executable,
            "-m",
            "pytest",
            "-c",
            ROOT / "pyproject.toml",
            *options,
            *sys.argv[1:],
            folder,
        ]
        return subprocess.run(command, cwd=ROOT, env=env).returncode


if __name__ == "__main__":
    sys.exit(main())
