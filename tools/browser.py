"""Find a Chromium for the site tests, or install one.

In this order: Chromium or Chrome on this machine; Debian's package, when root; Playwright's own download.
`python tools/browser.py` prints the path.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
MAC_APPS = (
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
)
ADVICE = (
    "The site tests need a browser: install Chromium or Chrome "
    "(Debian or Ubuntu: sudo apt-get install chromium) and run make test again."
)


class NoBrowserError(RuntimeError):
    """There is no browser and none could be installed."""


def run_quietly(command: Sequence[str]) -> bool:
    try:
        return subprocess.run(command, stdin=subprocess.DEVNULL).returncode == 0
    except OSError:
        return False


def is_root() -> bool:
    return hasattr(os, "geteuid") and os.geteuid() == 0


def playwright_path() -> str | None:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        return playwright.chromium.executable_path


def installed_browser(
    which: Callable[[str], str | None] = shutil.which, exists: Callable[[str], bool] = os.path.exists
) -> str | None:
    """Return the browser that is on this machine already, or None."""
    for path in ("/usr/bin/chromium", *MAC_APPS):
        if exists(path):
            return path
    return next((path for name in NAMES if (path := which(name))), None)


def find_browser(
    which: Callable[[str], str | None] = shutil.which,
    exists: Callable[[str], bool] = os.path.exists,
    root: Callable[[], bool] = is_root,
    run: Callable[[Sequence[str]], bool] = run_quietly,
    downloaded: Callable[[], str | None] = playwright_path,
) -> str:
    """Return the path of a browser, installing one if none is found.

    Raises:
        NoBrowserError: with one line that says what to install.
    """
    if named := os.environ.get("DETR_TUTORIAL_BROWSER"):
        if exists(named):
            return named
        raise NoBrowserError(f"DETR_TUTORIAL_BROWSER={named} does not exist.")
    if path := installed_browser(which, exists):
        return path
    if root() and which("apt-get") and exists("/etc/debian_version"):
        print("No browser found: installing Debian's chromium", file=sys.stderr)
        if run(["apt-get", "update", "-qq"]) and run(
            ["apt-get", "install", "-y", "-qq", "--no-install-recommends", "chromium"]
        ):
            if path := installed_browser(which, exists):
                return path
    if (path := downloaded()) and exists(path):
        return path
    print("No browser found: downloading Playwright's", file=sys.stderr)
    if run([sys.executable, "-m", "playwright", "install", "chromium"]):
        if (path := downloaded()) and exists(path):
            return path
    raise NoBrowserError(ADVICE)


def launch_options(path: str) -> dict:
    """Return Playwright's launch options for a quiet browser that talks to nobody."""
    quiet = [
        "--disable-gpu",
        "--disable-background-networking",
        "--disable-component-update",
        "--no-first-run",
    ]
    return {"executable_path": path, "args": ["--no-sandbox", *quiet] if is_root() else quiet}


if __name__ == "__main__":
    try:
        print(Path(find_browser()))
    except NoBrowserError as error:
        sys.exit(str(error))
