"""The bilinear explorer's Python half: reading, slope, errors, page and picture."""

# pyright: reportArgumentType=false

import json
import re

import pytest
import torch
import torch.nn.functional as F
import traitlets
from matplotlib.figure import Figure
from torch.testing import assert_close

from detr_tutorial.widgets import BilinearExplorer

MAP = torch.tensor([[5, 4, 4, 3, 3], [5, 4, 2, 1, 2], [6, 5, 3, 2.5, 2]])


@pytest.fixture
def explorer() -> BilinearExplorer:
    return BilinearExplorer(MAP, point=(1.25, 0.625))


def of_torch(x: float, y: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Reading and slope by grid_sample."""
    point = torch.tensor([x, y], dtype=torch.float64, requires_grad=True)
    grid = (2 * point + 1) / torch.tensor([5, 3]) - 1
    read = F.grid_sample(MAP.double()[None, None], grid.view(1, 1, 1, 2), align_corners=False).sum()
    return read, torch.autograd.grad(read, point)[0]


@pytest.mark.parametrize("point", [[1.25, 0.625], [3.9, 1.6], [-0.4, 2.7], [-1.3, 0.0], [4.75, -0.75]])
def test_reading_and_slope_are_those_of_grid_sample(explorer, point):
    explorer.point = point
    read, slope = of_torch(*point)
    assert_close(torch.tensor(explorer.reading()).double(), read, atol=1e-6, rtol=0)
    assert_close(torch.tensor(explorer.slope()).double(), slope, atol=1e-6, rtol=0)


def test_on_a_center_the_slope_is_the_one_to_the_right_and_below(explorer):
    explorer.point = [2, 1]
    assert explorer.reading() == 2.0
    assert explorer.slope() == (-1.0, 1.0)


@pytest.mark.parametrize("point", [[9, 0], [0, -1.4], [1], [1, 2, 3], ["a", 0], [True, 0]])
def test_a_point_far_from_the_map_is_refused(explorer, point):
    with pytest.raises(traitlets.TraitError, match="point must be"):
        explorer.point = point


def test_the_page_holds_state_and_picture(explorer):
    html = explorer._repr_html_()
    found = re.search(r'<script type="application/json">(.*?)</script>', html, re.S)
    assert found
    assert json.loads(found[1]) == {"point": [1.25, 0.625], "map": MAP.tolist()}
    assert html.count('class="bix-cell"') == 15
    assert html.count("<tr>") == 6
    assert f"reads {explorer.reading():.3f}" in html
    assert html == BilinearExplorer(MAP)._repr_html_()


def test_the_bundle_is_small(explorer):
    assert sum(path.stat().st_size for path in explorer._bundle) < 60_000


@pytest.mark.parametrize("point", [[1.25, 0.625], [-1.2, -1.2]])
def test_it_draws_for_print(explorer, point):
    explorer.point = point
    assert isinstance(explorer.figure(), Figure)
    assert repr(explorer).startswith(f"BilinearExplorer(point=({point[0]:g}, {point[1]:g}), reading=")
