"""Build the site: run the notebooks whose code or package changed, then Jupyter Book with warnings as errors.

Usage: python tools/build_book.py [SOURCE]

SOURCE is a folder with _config.yml and _toc.yml (this project's root by default). The exit code is not zero
when a cell fails or anything warns.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
START = "import sys; from jupyter_book.cli.main import main; sys.argv[0] = 'jupyter-book'; sys.exit(main())"


def fingerprint(folder: Path) -> str:
    """Return a hash of everything that decides what a notebook prints besides its own code."""
    digest = hashlib.sha256()
    files = [folder / "requirements.txt"]
    package = folder / "detr_tutorial"
    if package.is_dir():
        files += [file for file in package.rglob("*") if "__pycache__" not in file.parts]
    for file in sorted(files):
        if file.is_file():
            digest.update(file.relative_to(folder).as_posix().encode() + b"\0")
            digest.update(file.read_bytes() + b"\0")
    return digest.hexdigest()


def forget_stale_outputs(source: Path) -> None:
    """Drop cached outputs when the package changed: jupyter-cache itself looks at the cells only."""
    build = source / "_build"
    stamp = build / "package.sha256"
    now = fingerprint(source)
    if not stamp.exists() or stamp.read_text() != now:
        shutil.rmtree(build / ".jupyter_cache", ignore_errors=True)
        shutil.rmtree(build / ".doctrees", ignore_errors=True)
        build.mkdir(exist_ok=True)
        stamp.write_text(now)


def build(source: Path) -> int:
    started = time.perf_counter()
    forget_stale_outputs(source)
    site = source / "_build" / "html"
    # A page that left the book must leave the site; unchanged pages cost nothing to write again.
    shutil.rmtree(site, ignore_errors=True)
    options = ["build", str(source), "-W", "-n", "--keep-going", "-q"]
    env = {**os.environ, "PYDEVD_DISABLE_FILE_VALIDATION": "1"}
    # Warnings and errors come on the error stream; the rest is only worth reading when something failed.
    command = [sys.executable, "-c", START, *options]
    result = subprocess.run(command, env=env, stdout=subprocess.PIPE, text=True)
    code = result.returncode
    if code != 0:
        print(result.stdout)
        print("make book: the build failed; the lines above say where.", file=sys.stderr)
        return code
    print(f"Built in {time.perf_counter() - started:.0f} s. Open {site / 'index.html'}")
    return 0


if __name__ == "__main__":
    sys.exit(build(Path(sys.argv[1]).resolve() if len(sys.argv) > 1 else ROOT))
