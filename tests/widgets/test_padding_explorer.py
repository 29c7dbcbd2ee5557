"""The padding explorer's Python half: sizes, shares, errors, page and picture."""

import json
import re

import pytest
import torch
import traitlets
from matplotlib.figure import Figure

from detr_tutorial.backbone import SmallBackbone
from detr_tutorial.features import FeatureProjection
from detr_tutorial.padding import PaddedBatch
from detr_tutorial.widgets import PaddingExplorer
from detr_tutorial.widgets.padding_explorer import STRIDES, map_size


def pictures(*sizes: tuple[int, int]) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.rand(3, *size, generator=generator) for size in sizes]


@pytest.fixture(scope="module")
def explorer() -> PaddingExplorer:
    return PaddingExplorer(pictures((60, 130), (110, 50), (30, 40)))


def state_of(html: str) -> dict:
    found = re.search(r'<script type="application/json">(.*?)</script>', html, re.S)
    assert found
    return json.loads(found[1])


def test_it_starts_at_the_sizes_of_the_pictures(explorer):
    assert explorer.sizes == explorer.start == [[60, 130], [110, 50], [30, 40]]
    assert explorer.maxSide % 64 == 0
    assert 130 < explorer.maxSide < 260


def test_the_share_of_padding_is_counted_on_the_canvas_of_all(explorer):
    assert explorer.padding_share() == pytest.approx(1 - (60 * 130 + 110 * 50 + 30 * 40) / (3 * 110 * 130))


def test_equal_sizes_need_no_padding():
    explorer = PaddingExplorer(pictures((20, 30), (30, 20)))
    explorer.sizes = [[25, 25], [25, 25]]
    assert explorer.padding_share() == 0


@pytest.mark.parametrize("canvas", [(45, 76), (64, 129)])
def test_its_maps_have_the_sizes_of_the_backbones_levels(canvas):
    batch = PaddedBatch(torch.zeros(1, 3, *canvas), torch.zeros(1, *canvas, dtype=torch.bool))
    with torch.no_grad():
        backbone = SmallBackbone()
        features, _ = backbone(batch)
        levels = FeatureProjection(backbone.channels, 64, 4)(features)
    assert [tuple(level.shape[2:]) for level in levels] == [
        map_size(canvas, stride) for stride in STRIDES[1:]
    ]


@pytest.mark.parametrize(
    "sizes",
    [
        [[1, 2]],
        [[1, 2], [3, 4], [0, 5]],
        [[1, 2], [3, 4], [5]],
        [[1, 2], [3, 4], [5, 10_000]],
        [[1, 2], "ab", 3],
    ],
)
def test_sizes_that_are_none_are_refused(explorer, sizes):
    with pytest.raises(traitlets.TraitError, match="sizes"):
        explorer.sizes = sizes


def test_a_stride_that_is_none_of_the_backbone_is_refused(explorer):
    with pytest.raises(traitlets.TraitError, match="stride must be one of"):
        explorer.stride = 7


@pytest.mark.parametrize(
    ("images", "max_side", "error", "says"),
    [
        (pictures((4, 6)), None, ValueError, "at least 2"),
        (pictures(*[(4, 6)] * 5), None, ValueError, "at most 4"),
        ([torch.full((3, 4, 6), 2.0)] * 2, None, ValueError, r"images\[0\] must lie in \[0, 1\]"),
        (pictures((4, 6), (5, 7)), 6, ValueError, "max_side must be at least the longest side 7"),
    ],
)
def test_bad_arguments_are_named(images, max_side, error, says):
    with pytest.raises(error, match=says):
        PaddingExplorer(images, max_side)


def test_the_page_carries_the_photographs_once_and_stays_small(explorer):
    html = explorer._repr_html_()
    assert len(html) < 120_000
    assert html.count("data:image/webp") == 3
    assert "pictures" not in state_of(html)
    assert state_of(html) == {
        "sizes": [[60, 130], [110, 50], [30, 40]],
        "stride": 1,
        "start": [[60, 130], [110, 50], [30, 40]],
        "maxSide": explorer.maxSide,
    }


def test_the_same_explorer_gives_the_same_page(explorer):
    again = PaddingExplorer(pictures((60, 130), (110, 50), (30, 40)))
    assert again._repr_html_() == explorer._repr_html_()


def test_with_a_kernel_it_is_a_widget_and_a_page(explorer):
    data, _ = explorer._repr_mimebundle_()
    assert {"text/html", "application/vnd.jupyter.widget-view+json"} <= set(data)


@pytest.mark.parametrize("stride", STRIDES)
def test_the_figure_shows_every_picture_with_its_padding(explorer, stride):
    explorer.stride = stride
    figure = explorer.figure()
    explorer.stride = 1
    assert isinstance(figure, Figure)
    assert [axes.get_title(loc="left") for axes in figure.axes] == [
        "picture 0: 60 x 130",
        "picture 1: 110 x 50",
        "picture 2: 30 x 40",
    ]
    for axes in figure.axes:
        (photograph,), (hatched, *masked) = axes.images, axes.patches
        assert hatched.get_zorder() < photograph.get_zorder() < masked[0].get_zorder()
