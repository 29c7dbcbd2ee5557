"""What the site makes of a notebook's widgets and pictures, how it is sent, and how Lighthouse judges it."""

import gzip
import importlib
import json
import re
import sys
import types
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import numpy as np
import pytest
from PIL import Image

from detr_tutorial.widgets._static_page import widget_html
from tools.serve import served

pytest.importorskip("sphinx", reason="sphinx is not installed: no book is built here")
ROOT = Path(__file__).resolve().parents[2]
BUNDLES = sorted((ROOT / "detr_tutorial" / "widgets" / "static").glob("*.js"))


def book_site(name: str, monkeypatch) -> Any:
    monkeypatch.setattr(sys, "path", [str(ROOT / "book" / "_ext"), *sys.path])
    return importlib.import_module(f"book_site.{name}")


@pytest.fixture
def late_widgets(monkeypatch) -> Any:
    return book_site("late_widgets", monkeypatch)


def as_page(tmp_path: Path, module: str, name: str = "Toy") -> str:
    (tmp_path / "toy.js").write_text(module, encoding="utf-8")
    (tmp_path / "toy.css").write_text("p{color:red}", encoding="utf-8")
    return widget_html(name, {"a": 1}, "<p>picture</p>", tmp_path / "toy.js", tmp_path / "toy.css")


def test_a_widget_keeps_its_state_and_picture_and_shares_its_script(tmp_path, late_widgets):
    app = types.SimpleNamespace(outdir=str(tmp_path))
    twice = as_page(tmp_path, "let x=1;go(x);export{x as default};") * 2
    page = late_widgets.with_late_widgets(
        app, f"<p>before</p>{twice}<p>after</p>", lambda to, **_: f"../{to}"
    )
    scripts = re.findall(r'data-script="\.\./_static/(widgets/Toy\.\w+\.js)"', page)
    assert len(scripts) == 2
    assert len(set(scripts)) == 1
    assert (tmp_path / "_static" / scripts[0]).read_text() == '(()=>{"use strict";let x=1;go(x);})();\n'
    assert 'type="module"' not in page
    assert page.count('{"a":1}') == page.count("<p>picture</p>") == 2
    assert page.startswith("<p>before</p>")
    assert page.endswith("<p>after</p>")


@pytest.mark.parametrize("bundle", BUNDLES, ids=lambda bundle: bundle.stem)
def test_each_widgets_bundle_can_become_a_classic_script(bundle, late_widgets):
    script = late_widgets.classic_script(bundle.read_text(encoding="utf-8"))
    assert not re.search(r"\bexport\b\s*\{", script)
    assert len(script) > 10_000


@pytest.mark.parametrize(
    "module", ['import{a}from"b";export{a};', 'import "b";export{a};', "let a=1;", "export{a};let a=1;"]
)
def test_a_module_that_is_no_bundle_is_refused(module, late_widgets):
    with pytest.raises(ValueError, match="one bundle"):
        late_widgets.classic_script(module)


def test_a_drawing_becomes_a_smaller_picture_without_loss_and_is_made_once(tmp_path, monkeypatch):
    images = book_site("images", monkeypatch)
    pixels = np.tile(np.arange(0, 240, 2, dtype=np.uint8)[:, None, None], (2, 90, 3))
    Image.fromarray(pixels).save(tmp_path / "a.png", compress_level=0)
    made = images.as_webp(tmp_path / "a.png", tmp_path)
    np.testing.assert_array_equal(np.asarray(Image.open(made).convert("RGB")), pixels)
    stamp = made.stat().st_mtime_ns
    assert images.as_webp(tmp_path / "a.png", tmp_path) == made
    assert made.stat().st_mtime_ns == stamp


def test_a_picture_that_would_not_shrink_stays_as_it_is(tmp_path, monkeypatch):
    images = book_site("images", monkeypatch)
    noise = np.random.default_rng(5).integers(0, 256, (40, 50, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "a.jpg", quality=20)
    assert images.as_webp(tmp_path / "a.jpg", tmp_path) is None


def test_text_is_sent_compressed_to_those_who_accept_it(tmp_path):
    text = "words " * 500
    (tmp_path / "a.html").write_text(text, encoding="utf-8")
    (tmp_path / "a.png").write_bytes(b"picture")
    with served(tmp_path) as address:
        for accepted, shorter in (("gzip", True), ("identity", False)):
            with urlopen(Request(f"{address}/a.html", headers={"Accept-Encoding": accepted})) as answer:
                body = answer.read()
            assert (len(body) < 200) == shorter
            assert (gzip.decompress(body) if shorter else body).decode() == text
        with urlopen(Request(f"{address}/a.png", headers={"Accept-Encoding": "gzip"})) as answer:
            assert answer.read() == b"picture"


@pytest.fixture
def lighthouse(monkeypatch) -> Any:
    monkeypatch.setattr(sys, "path", [str(ROOT / "tools"), *sys.path])
    return importlib.import_module("lighthouse")


def row(performance: float = 1.0, seo: float = 1.0) -> dict:
    return {"performance": performance, "accessibility": 1.0, "best-practices": 1.0, "seo": seo}


def test_pages_above_every_bar_miss_none(lighthouse):
    assert lighthouse.missed_bars({"a": row(0.9), "b": row(0.95), "c": row()}) == []


@pytest.mark.parametrize(
    ("pages", "told"),
    [
        ({"a": row(), "b": row(0.89), "c": row()}, ["b: performance 0.89, at least 0.9 is asked"]),
        ({"a": row(0.94), "b": row(0.94), "c": row()}, ["median performance 0.94, at least 0.95 is asked"]),
        ({"a": row(seo=0.99), "b": row(), "c": row()}, ["a: seo 0.99, at least 1.0 is asked"]),
    ],
)
def test_a_missed_bar_is_named(lighthouse, pages, told):
    assert lighthouse.missed_bars(pages) == told


def test_a_slow_page_is_measured_three_times_and_the_middle_counts(lighthouse, monkeypatch):
    scores = [0.6, 0.97, 0.92]
    audits: dict[str, Any] = {name: {"score": 1, "numericValue": 5} for name in lighthouse.FACTS}
    audits["network-requests"] = {"score": 1, "details": {"items": [{"transferSize": 7}]}}

    def report(address: str, page: str) -> dict:
        categories = {name: {"score": value, "auditRefs": []} for name, value in row(scores.pop(0)).items()}
        return json.loads(json.dumps({"categories": categories, "audits": audits}))

    monkeypatch.setattr(lighthouse, "run_lighthouse", report)
    assert lighthouse.measure("http://127.0.0.1", "a.html")["performance"] == 0.92
    assert scores == []
