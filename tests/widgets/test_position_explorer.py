"""The position explorer's Python half: state, values, errors, page and picture."""

# pyright: reportArgumentType=false

import json
import re

import pytest
import torch
import traitlets
from matplotlib.figure import Figure
from torch.testing import assert_close

from detr_tutorial.position import SinePositionEncoding
from detr_tutorial.widgets import PositionExplorer

IMAGE = torch.rand(3, 60, 90, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def explorer() -> PositionExplorer:
    return PositionExplorer(IMAGE, size=(4, 6), num_features_per_axis=8)


def test_it_starts_in_the_middle_with_the_published_temperature(explorer):
    assert (explorer.cell, explorer.temperature, explorer.channel) == ([2, 3], 10000.0, -1)
    assert PositionExplorer(IMAGE, size=(4, 6), cell=(0, 5)).cell == [0, 5]


def test_its_values_are_products_of_encodings(explorer):
    explorer.temperature, explorer.cell = 20.0, [1, 4]
    encoding = SinePositionEncoding(8, 20.0)(torch.zeros(1, 4, 6, dtype=torch.bool), torch.float64)[0]
    expected = (encoding[:, 1:2, 4:5] * encoding).sum(0) / 8
    assert_close(explorer.values(), expected)
    assert_close(explorer.values()[1, 4], torch.tensor(1.0, dtype=torch.float64))
    explorer.channel = 9
    assert_close(explorer.values(), encoding[9])


@pytest.mark.parametrize("cell", [[4, 0], [0, 6], [-1, 0], [0], [0, 1, 2], [0.5, 1], ["a", 1], [True, 0]])
def test_a_cell_off_the_map_is_refused(explorer, cell):
    with pytest.raises(traitlets.TraitError, match="cell must be"):
        explorer.cell = cell


@pytest.mark.parametrize(("name", "value"), [("channel", 16), ("channel", -2), ("temperature", 0.5)])
def test_other_values_out_of_range_are_refused(explorer, name, value):
    with pytest.raises(traitlets.TraitError):
        setattr(explorer, name, value)


def test_the_page_holds_state_picture_and_module(explorer):
    html = explorer._repr_html_()
    found = re.search(r'<script type="application/json">(.*?)</script>', html, re.S)
    assert found
    state = json.loads(found[1])
    assert state == {
        "cell": [2, 3],
        "temperature": 10000.0,
        "channel": -1,
        "size": [4, 6],
        "features": 8,
        "aspect": round(60 / 90, 6),
    }
    assert html.count("data:image/webp") == 1
    assert html.count('class="poe-cell"') == 24
    assert html == PositionExplorer(IMAGE, size=(4, 6), num_features_per_axis=8)._repr_html_()


def test_the_bundle_is_small(explorer):
    assert sum(path.stat().st_size for path in explorer._bundle) < 60_000


def test_it_draws_both_views_for_print(explorer):
    assert isinstance(explorer.figure(), Figure)
    explorer.channel = 3
    assert isinstance(explorer.figure(), Figure)
    assert repr(explorer) == "PositionExplorer(cell=(2, 3), temperature=10000, channel=3)"
