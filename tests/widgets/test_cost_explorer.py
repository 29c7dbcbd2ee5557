"""The cost explorer's Python half: state, costs, errors, page and picture."""

# pyright: reportArgumentType=false

import json
import re

import pytest
import traitlets
from matplotlib.figure import Figure

from detr_tutorial.complexity import layer_costs, level_shapes
from detr_tutorial.widgets import CostExplorer
from detr_tutorial.widgets.cost_explorer import bytes_text


@pytest.fixture
def explorer() -> CostExplorer:
    return CostExplorer()


def test_it_starts_at_the_image_of_the_book_and_says_its_memory(explorer):
    shapes = level_shapes(800, 1066)
    assert explorer.costs()["dense"] == layer_costs(shapes, "dense").encoder
    assert explorer.costs()["deformable"] == layer_costs(shapes, "deformable").encoder
    assert "9.46 GiB" in explorer._fallback()


def test_its_costs_follow_the_choices(explorer):
    explorer.part, explorer.height, explorer.strides = "decoder", 400, [16, 64]
    explorer.points, explorer.queries = 7, 30
    shapes = level_shapes(400, 533, (16, 64))
    expected = layer_costs(shapes, "deformable", num_queries=30, num_points=7).decoder_cross
    assert explorer.costs()["deformable"] == expected
    assert explorer.costs(800)["dense"].weights == 8 * 30 * sum(
        h * w for h, w in level_shapes(800, 1066, (16, 64))
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("height", 100),
        ("height", 4000),
        ("strides", []),
        ("strides", [16, 8]),
        ("strides", [4, 8]),
        ("points", 0),
        ("queries", 1001),
        ("part", "neck"),
    ],
)
def test_values_out_of_range_are_refused(explorer, name, value):
    with pytest.raises(traitlets.TraitError):
        setattr(explorer, name, value)


def test_the_page_holds_state_and_module_and_is_always_the_same(explorer):
    html = explorer._repr_html_()
    found = re.search(r'<script type="application/json">(.*?)</script>', html, re.S)
    assert found
    state = json.loads(found[1])
    assert state["ratio"] == 1066 / 800
    assert state["strides"] == [8, 16, 32, 64]
    assert html == CostExplorer()._repr_html_()
    assert html.count('<path class="ce-line') == 4


def test_the_bundle_is_small(explorer):
    assert sum(path.stat().st_size for path in explorer._bundle) < 60_000


def test_it_draws_its_charts_for_print(explorer):
    assert isinstance(explorer.figure(), Figure)
    assert repr(explorer) == (
        "CostExplorer(height=800, strides=(8, 16, 32, 64), points=4, queries=300, part='encoder')"
    )


def test_bytes_have_three_digits_and_a_unit():
    assert [bytes_text(n) for n in (0, 999, 1000, 22 * 2**20, 10162607, 300 * 2**30)] == [
        "0 B",
        "999 B",
        "0.977 KiB",
        "22 MiB",
        "9.69 MiB",
        "300 GiB",
    ]
