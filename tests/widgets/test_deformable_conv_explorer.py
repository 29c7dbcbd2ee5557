"""The deformable convolution explorer's Python half: response, errors, page and picture."""

# pyright: reportArgumentType=false

import json
import re

import pytest
import torch
import traitlets
from matplotlib.figure import Figure
from torch.testing import assert_close
from torchvision.ops import deform_conv2d

from detr_tutorial.widgets import DeformableConvExplorer
from detr_tutorial.widgets.deformable_conv_explorer import KERNELS

IMAGE = torch.rand(3, 60, 90, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def explorer() -> DeformableConvExplorer:
    return DeformableConvExplorer(IMAGE, columns=15)


def test_it_starts_as_an_ordinary_convolution_of_the_shrunk_photograph(explorer):
    assert explorer.size == [10, 15]
    assert explorer.points == [[x, y] for y in (-1.0, 0.0, 1.0) for x in (-1.0, 0.0, 1.0)]
    gray = (IMAGE.mean(0).view(10, 6, 15, 6).mean((1, 3)) * 255).round().double() / 255
    weight = torch.tensor(KERNELS["edge"], dtype=torch.float64).view(1, 1, 3, 3)
    expected = torch.nn.functional.conv2d(gray[None, None], weight, padding=1)[0, 0]
    assert_close(explorer.response(), expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize("kernel", list(KERNELS))
@pytest.mark.parametrize("name", ["moved", "scaled", "turned"])
def test_moved_points_answer_as_in_torchvision(explorer, kernel, name):
    explorer.kernel, explorer.points = kernel, explorer.arrangements[name]
    rest = torch.tensor([[x, y] for y in (-1.0, 0.0, 1.0) for x in (-1.0, 0.0, 1.0)], dtype=torch.float64)
    offsets = (torch.tensor(explorer.points, dtype=torch.float64) - rest).flip(-1)
    gray = explorer._map[None, None] / 255
    weight = torch.tensor(KERNELS[kernel], dtype=torch.float64).view(1, 1, 3, 3)
    as_channels = offsets.flatten()[None, :, None, None].expand(1, 18, 10, 15).contiguous()
    assert_close(explorer.response(), deform_conv2d(gray, as_channels, weight, padding=(1, 1))[0, 0])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("points", [[0, 0]] * 8),
        ("points", [[0, 0, 0]] * 9),
        ("points", [["a", 0]] * 9),
        ("points", [[float("nan"), 0]] * 9),
        ("place", [15, 0]),
        ("place", [0, 10]),
        ("place", [0.5, 1]),
        ("kernel", "blur"),
    ],
)
def test_values_out_of_range_are_refused(explorer, name, value):
    with pytest.raises(traitlets.TraitError, match=f"{name} must be"):
        setattr(explorer, name, value)


def test_the_page_holds_state_and_picture_once(explorer):
    html = explorer._repr_html_()
    found = re.search(r'<script type="application/json">(.*?)</script>', html, re.S)
    assert found
    state = json.loads(found[1])
    assert set(state) == {"points", "place", "kernel", "size", "kernels", "arrangements", "gray"}
    assert html.count("data:image/webp") == 1
    assert html.count('class="dcx-answer"') == 150
    assert html.count('class="dcx-dot') == 9
    assert html == DeformableConvExplorer(IMAGE, columns=15)._repr_html_()


def test_the_bundle_is_small(explorer):
    assert sum(path.stat().st_size for path in explorer._bundle) < 60_000


@pytest.mark.parametrize("kernel", list(KERNELS))
def test_it_draws_for_print(explorer, kernel):
    explorer.kernel = kernel
    assert isinstance(explorer.figure(), Figure)
    assert repr(explorer).startswith(f"DeformableConvExplorer(kernel={kernel!r}, place=(6, 4), response=")
