"""The explorer in a real JupyterLab, with Python on the other side."""

import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from playwright.sync_api import Browser, Page, expect

ROOT = Path(__file__).resolve().parents[2]
TOKEN = "explorer"

MAKE = """
import sys
sys.path.insert(0, {root!r})
import traitlets
from detr_tutorial.widgets import SamplingPointsExplorer
from tests.widgets.scenes import example
scene = example()
explorer = SamplingPointsExplorer(scene.attention, scene.flattened, scene.images[0])
heard = []
explorer.observe(lambda change: heard.append(change["new"]), "query")
explorer
"""
REPORT = (
    "import json\n"
    'print(json.dumps([explorer.query, explorer.head, explorer.level, explorer.record["query"], len(heard)]))'
)
COMMAND = "explorer.query = 37 * 40 + 21\nexplorer.head = 5"


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[str]:
    """A JupyterLab of its own, with no configuration of the user's, and one notebook."""
    cells = [
        nbformat.v4.new_code_cell(source.strip()) for source in (MAKE.format(root=str(ROOT)), REPORT, COMMAND)
    ]
    notebook = nbformat.v4.new_notebook(cells=cells)
    notebook.metadata.kernelspec = {
        "name": "python3",
        "display_name": "Python 3 (ipykernel)",
        "language": "python",
    }
    folder = tmp_path / "notebooks"
    folder.mkdir()
    nbformat.write(notebook, folder / "explorer.ipynb")
    port = free_port()
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "JUPYTER_CONFIG_DIR": str(tmp_path / "config"),
        "JUPYTER_DATA_DIR": str(tmp_path / "data"),
        "JUPYTER_RUNTIME_DIR": str(tmp_path / "runtime"),
        "JUPYTERLAB_SETTINGS_DIR": str(tmp_path / "settings"),
        "JUPYTERLAB_WORKSPACES_DIR": str(tmp_path / "workspaces"),
        "IPYTHONDIR": str(tmp_path / "ipython"),
    }
    environment.pop("DETR_TUTORIAL_STATIC_WIDGETS", None)
    options = {
        "ServerApp.ip": "127.0.0.1",
        "ServerApp.port": port,
        "ServerApp.port_retries": 0,
        "ServerApp.open_browser": False,
        "ServerApp.allow_root": True,
        "ServerApp.root_dir": folder,
        "IdentityProvider.token": TOKEN,
        "LabApp.check_for_updates_class": "jupyterlab.NeverCheckForUpdate",
        "LabApp.news_url": None,
        "LabApp.extension_manager": "readonly",
    }
    command = [sys.executable, "-m", "jupyterlab", *(f"--{name}={value}" for name, value in options.items())]
    with (tmp_path / "log").open("w") as log:
        server = subprocess.Popen(command, env=environment, cwd=folder, stdout=log, stderr=log)
    address = f"http://127.0.0.1:{port}"
    try:
        for _ in range(300):
            try:
                urllib.request.urlopen(f"{address}/api?token={TOKEN}", timeout=5).close()
                break
            except (urllib.error.URLError, OSError):
                assert server.poll() is None, (tmp_path / "log").read_text()
                time.sleep(0.2)
        yield f"{address}/lab/tree/explorer.ipynb?token={TOKEN}"
    finally:
        server.terminate()
        try:
            server.wait(20)
        except subprocess.TimeoutExpired:
            server.kill()


def run_cell(page: Page, index: int) -> None:
    page.locator(".jp-CodeCell").nth(index).locator(".cm-content").click()
    page.keyboard.press("Control+Enter")


def report(page: Page) -> list[int]:
    """What Python knows: query, head, level, the query of the record, and how many moves it heard of."""
    cell = page.locator(".jp-CodeCell").nth(1)
    count = cell.locator(".jp-InputPrompt").inner_text()
    run_cell(page, 1)
    done = (
        "before => { const now = document.querySelectorAll('.jp-CodeCell')[1]"
        ".querySelector('.jp-InputPrompt').innerText; return now !== before && /\\d/.test(now) }"
    )
    page.wait_for_function(done, arg=count, timeout=20_000)
    return json.loads(cell.locator(".jp-OutputArea-output").inner_text())


@pytest.mark.slow
def test_moving_the_query_in_jupyterlab_moves_it_in_python_and_back(lab: str, browser: Browser):
    context = browser.new_context(viewport={"width": 1300, "height": 1100})
    page = context.new_page()
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.goto(lab)
    page.locator(".jp-CodeCell").first.wait_for(timeout=60_000)
    page.get_by_text("Python 3 (ipykernel) | Idle").first.wait_for(timeout=60_000)
    run_cell(page, 0)
    handle = page.locator(".spe-handle")
    handle.wait_for(timeout=60_000)
    expect(page.locator(".jp-CodeCell").first.locator("script[type='application/json']")).to_have_count(
        0
    )  # live

    start = report(page)
    assert start == [1650, -1, -1, 1650, 0]
    handle.scroll_into_view_if_needed()
    box = page.locator(".spe-photo .spe-cross").bounding_box()
    assert box
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x - 70, y + 30, steps=6)
    page.mouse.up()
    page.get_by_role("radio", name="Head 3, diamond", exact=True).check(force=True)
    dragged = int(handle.get_attribute("data-query") or -1)
    query, head, level, record, moves = report(page)
    assert (query, head, level, record) == (dragged, 3, -1, dragged)
    assert query != 1650
    assert moves >= 2

    run_cell(page, 2)
    expect(handle).to_have_attribute("data-query", str(37 * 40 + 21))
    expect(page.get_by_role("radio", name="Head 5, plus", exact=True)).to_be_checked()
    expect(page.locator(".spe-photo .spe-point")).to_have_count(16)
    assert problems == []
    context.close()
