"""The explorer's Python half: state, recomputation, page and picture."""

import base64
import hashlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import numpy as np
import pytest
import torch
import traitlets
from einops import rearrange
from matplotlib.figure import Figure

from detr_tutorial.reference_points import encoder_reference_points
from detr_tutorial.widgets import SamplingPointsExplorer, _scene
from tests.widgets.export_fixtures import FIXTURES, FOLDER, rounded
from tests.widgets.scenes import SHAPES, Example, example

ROOT = Path(__file__).resolve().parents[2]


def unpack(packed: dict, *sizes: int) -> np.ndarray:
    numbers = np.frombuffer(base64.b64decode(packed["data"]), np.dtype(packed["dtype"]).newbyteorder("<"))
    return numbers.reshape(sizes).astype(np.float64)


def torch_record(scene: Example, image_index: int, query: int):
    """The record of one query, from a forward pass over all queries of both images."""
    flat = scene.flattened
    references = encoder_reference_points(flat.spatial_shapes, flat.valid_ratios)
    with torch.no_grad():
        _, record = scene.attention(
            flat.tokens + flat.positions, references, flat.tokens, flat.spatial_shapes, flat.mask
        )
    return record.locations[image_index, query].numpy(), record.weights[image_index, query].numpy()


def state_of(html: str) -> dict:
    found = re.search(r'<script type="application/json">(.*?)</script>', html, re.S)
    assert found
    return json.loads(found[1])


def test_the_query_starts_in_the_middle_of_the_photograph(explorer):
    # 240 of 296 rows and all of 320 columns are photograph: 16 x 20 valid cells of level 1, after level 0
    assert explorer.query == 37 * 40 + 8 * 20 + 10
    assert (explorer.head, explorer.level) == (-1, -1)


@pytest.mark.parametrize("query", [0, 37 * 40 + 21, 37 * 40 + 19 * 20 + 99])
def test_moving_the_query_runs_the_attention_again(explorer, scene, query):
    explorer.query = query
    locations, weights = torch_record(scene, 0, query)
    assert explorer.record["query"] == query
    np.testing.assert_allclose(unpack(explorer.record["locations"], 8, 4, 4, 2), locations, atol=1e-5)
    np.testing.assert_allclose(unpack(explorer.record["weights"], 8, 4, 4), weights, atol=1e-6)


def test_a_change_of_the_attention_shows_when_the_query_moves():
    own = example()
    explorer = SamplingPointsExplorer(own.attention, own.flattened, own.images[0])
    before = explorer.record["locations"]["data"]
    with torch.no_grad():
        own.attention.sampling_offsets.bias.add_(1.0)
    explorer.query += 1
    explorer.query -= 1
    assert explorer.record["locations"]["data"] != before


def test_the_second_image_of_a_batch_is_explored_with_its_own_mask(scene):
    explorer = SamplingPointsExplorer(
        scene.attention, scene.flattened, scene.images[1], image_index=1, query_level=2
    )
    locations, _ = torch_record(scene, 1, explorer.query)
    np.testing.assert_allclose(unpack(explorer.record["locations"], 8, 4, 4, 2), locations, atol=1e-5)
    assert explorer.scene["validSizes"][0] == [37, 26]  # 208 of 320 columns


@pytest.mark.parametrize("image_index", [0, 1])
def test_the_records_on_the_page_are_those_of_torch(scene, image_index):
    explorer = SamplingPointsExplorer(
        scene.attention, scene.flattened, scene.images[image_index], image_index=image_index
    )
    records = explorer.scene["records"]
    rows, columns, rank = records["rows"], records["columns"], records["rank"]
    left, right = unpack(records["left"], rows, rank), unpack(records["right"], rank, columns)
    table = unpack(records["mean"], columns) + (left * records["scale"]) @ right

    references = encoder_reference_points(SHAPES, scene.flattened.valid_ratios)[image_index].numpy()
    valid_rows, valid_columns = explorer.scene["validSizes"][1]
    assert rows == valid_rows * valid_columns
    for row, column in [(0, 0), (3, 7), (valid_rows - 1, valid_columns - 1)]:
        query = 37 * 40 + row * 20 + column
        locations, weights = torch_record(scene, image_index, query)
        offsets, logits = np.split(table[row * valid_columns + column], [columns // 3 * 2])
        sizes = np.array([(width, height) for height, width in SHAPES])
        drawn = references[query][:, None] + offsets.reshape(8, 4, 4, 2) / sizes[:, None]
        np.testing.assert_allclose(drawn, locations, atol=1e-4)
        np.testing.assert_allclose(
            torch.as_tensor(logits.reshape(8, 16)).softmax(-1).reshape(8, 4, 4), weights, atol=1e-4
        )
    assert explorer.scene["recordError"] <= 5e-4


def test_the_values_on_the_page_are_those_the_attention_reads(explorer, scene):
    with torch.no_grad():
        values = rearrange(scene.attention.value_proj(scene.flattened.tokens[0]), "S (M D) -> M S D", M=8)[
            ..., 0
        ]
    valid = ~scene.flattened.mask[0]
    packed = (
        unpack(explorer.scene["values"], 8, int(valid.sum()))
        * np.array(explorer.scene["valueScale"])[:, None]
    )
    np.testing.assert_allclose(packed, values[:, valid].numpy(), atol=1e-4)


def test_a_star_that_no_query_bends_costs_no_records():
    start = example(trained=False)
    explorer = SamplingPointsExplorer(start.attention, start.flattened, start.images[0])
    assert explorer.scene["records"]["rank"] == 0
    assert len(explorer._repr_html_()) < 150_000


def test_one_widget_is_under_250_kb_beside_its_module(explorer):
    html = explorer._repr_html_()
    module = (ROOT / "detr_tutorial/widgets/static/sampling_points_explorer.js").stat().st_size
    style = (ROOT / "detr_tutorial/widgets/static/sampling_points_explorer.css").stat().st_size
    assert len(html.encode()) - module - style < 250_000
    assert module < 60_000
    assert len(html.encode()) < 300_000


@pytest.mark.parametrize(
    ("name", "value"), [("query", -1), ("query", 1480 + 380 + 125), ("head", 8), ("head", -2), ("level", 4)]
)
def test_a_trait_out_of_range_is_refused_and_keeps_its_value(explorer, name, value):
    before = getattr(explorer, name)
    with pytest.raises(traitlets.TraitError, match=rf"{name}={value} is outside"):
        setattr(explorer, name, value)
    assert getattr(explorer, name) == before


def test_traits_can_be_observed_and_linked(explorer, scene):
    other = SamplingPointsExplorer(scene.attention, scene.flattened, scene.images[1], image_index=1)
    link = traitlets.link((explorer, "query"), (other, "query"))
    seen = []
    explorer.observe(lambda change: seen.append(change["new"]), "head")
    explorer.query += 3
    explorer.head = 2
    assert other.query == explorer.query == other.record["query"]
    assert seen == [2]
    link.unlink()


def test_a_message_from_the_front_end_moves_the_query_and_is_answered_with_its_record(explorer, monkeypatch):
    sent = []
    monkeypatch.setattr(explorer, "send_state", lambda key=None: sent.append(key))
    target = explorer.query + 41
    explorer._handle_msg(
        {
            "content": {"data": {"method": "update", "state": {"query": target}, "buffer_paths": []}},
            "buffers": [],
        }
    )
    assert explorer.query == explorer.record["query"] == target
    assert any("record" in ([key] if isinstance(key, str) else key or ()) for key in sent)


def test_the_page_is_the_same_every_time(explorer, scene):
    again = SamplingPointsExplorer(scene.attention, scene.flattened, scene.images[0])
    assert again._repr_html_() == explorer._repr_html_()


def test_the_page_is_the_same_in_another_process(explorer):
    code = """
        import hashlib
        from detr_tutorial.widgets import SamplingPointsExplorer
        from tests.widgets.scenes import example

        scene = example()
        html = SamplingPointsExplorer(scene.attention, scene.flattened, scene.images[0])._repr_html_()
        print(hashlib.sha256(html.encode()).hexdigest())
    """
    run = [sys.executable, "-c", dedent(code)]
    there = subprocess.run(run, cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()
    assert there == hashlib.sha256(explorer._repr_html_().encode()).hexdigest()


def test_the_page_holds_the_present_state_and_the_photograph_once(explorer):
    explorer.head = 3
    html = explorer._repr_html_()
    state = state_of(html)
    assert (state["head"], state["query"]) == (3, explorer.query)
    assert html.count("data:image/webp") == 1
    assert "photo" not in state["scene"]
    assert explorer.model_id not in html


def test_html_travels_beside_the_live_view_unless_only_pages_are_wanted(explorer, monkeypatch):
    monkeypatch.delenv("DETR_TUTORIAL_STATIC_WIDGETS", raising=False)
    data, _ = explorer._repr_mimebundle_()
    assert {"text/plain", "text/html", "application/vnd.jupyter.widget-view+json"} == set(data)
    monkeypatch.setenv("DETR_TUTORIAL_STATIC_WIDGETS", "1")
    data, _ = explorer._repr_mimebundle_()
    assert {"text/plain", "text/html"} == set(data)
    assert data["text/plain"] == f"SamplingPointsExplorer(query={explorer.query}, head=-1, level=-1)"


@pytest.mark.parametrize(("head", "level"), [(-1, -1), (2, -1), (2, 1)])
def test_the_figure_shows_the_photograph_and_every_level(explorer, head, level):
    explorer.head, explorer.level = head, level
    figure = explorer.figure()
    assert isinstance(figure, Figure)
    photo, *levels = figure.axes
    assert [axes.get_title(loc="left") for axes in levels] == [
        f"level {i}: {h} × {w}" for i, (h, w) in enumerate(SHAPES)
    ]
    assert len(photo.collections) == (8 if head < 0 else 1) * (4 if level < 0 else 1) * 4
    figure.canvas.draw()


def test_the_canvas_is_the_padded_batch(scene, explorer):
    assert explorer.scene["canvas"] == [320, 296]
    assert explorer.scene["photoSize"] == [320, 240]


def test_a_photograph_shown_at_another_size_keeps_its_place(scene):
    larger = torch.nn.functional.interpolate(scene.images[0][None], (360, 480))[0]
    explorer = SamplingPointsExplorer(scene.attention, scene.flattened, larger)
    assert explorer.scene["canvas"] == [480, 444]  # 12 pixels a cell


def test_a_photograph_stays_under_40_kb():
    noise = torch.rand(3, 900, 1400, generator=torch.Generator().manual_seed(0))
    assert len(_scene.photo_uri(noise)) <= 40_000 * 4 / 3 + 40


@pytest.mark.parametrize("name", sorted(FIXTURES))
def test_the_javascript_fixtures_are_what_torch_gives(name):
    committed = json.loads((FOLDER / f"{name}.json").read_text())
    fresh = json.loads(json.dumps(rounded(FIXTURES[name]())))

    def compare(left, right, path=name):
        if isinstance(left, dict):
            assert left.keys() == right.keys(), path
            for key in left:
                compare(left[key], right[key], f"{path}.{key}")
        elif isinstance(left, list):
            assert len(left) == len(right), path
            for index, pair in enumerate(zip(left, right, strict=True)):
                compare(*pair, f"{path}[{index}]")
        elif isinstance(left, float):
            assert left == pytest.approx(right, abs=1e-6), path
        else:
            assert left == right, path

    if name == "packing":  # a decomposition is free to the last bit; what comes out is not
        committed["table"].pop("packed")
        fresh["table"].pop("packed")
    compare(committed, fresh)


def test_nothing_in_the_committed_lock_file_names_a_registry():
    lock = json.loads((ROOT / "js" / "package-lock.json").read_text())
    assert all("resolved" not in package for package in lock["packages"].values())


@pytest.mark.skipif(
    not (ROOT / "js/node_modules").exists(), reason="js/node_modules is missing: run make setup"
)
def test_the_committed_bundle_is_what_the_sources_give():
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    run = subprocess.run(
        ["node", "build.mjs", "--check"], cwd=ROOT / "js", capture_output=True, text=True, env=environment
    )
    assert run.returncode == 0, run.stderr
