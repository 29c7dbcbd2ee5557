"""The token explorer's Python half: state, addresses, errors, page and picture."""

# pyright: reportArgumentType=false

import json
import re

import pytest
import torch
import traitlets
from matplotlib.figure import Figure

from detr_tutorial.checks.chapter_08 import address_by_counting, patch_by_counting
from detr_tutorial.padding import resize_mask
from detr_tutorial.widgets import TokenExplorer

IMAGE = torch.rand(3, 60, 70, generator=torch.Generator().manual_seed(0))
CANVAS, SHAPES = (60, 90), ((8, 12), (4, 6), (2, 3))
COUNT = 8 * 12 + 4 * 6 + 2 * 3


@pytest.fixture
def explorer() -> TokenExplorer:
    return TokenExplorer(IMAGE, CANVAS, SHAPES, token=100)


def test_address_and_patch_are_those_of_the_chapter(explorer):
    for token in range(COUNT):
        explorer.token = token
        expected = tuple(int(part) for part in address_by_counting(torch.tensor([token]), SHAPES))
        assert explorer.address() == expected
        assert explorer.patch() == pytest.approx(patch_by_counting(token, SHAPES, CANVAS).tolist())


def test_padding_is_that_of_the_mask(explorer):
    mask = torch.ones(1, *CANVAS, dtype=torch.bool)
    mask[:, :60, :70] = False
    flat = torch.cat([resize_mask(mask, shape).flatten() for shape in SHAPES])
    found = []
    for token in range(COUNT):
        explorer.token = token
        found.append(explorer.is_padding())
    assert found == flat.tolist()
    assert 0 < sum(found) < COUNT


@pytest.mark.parametrize("token", [-1, COUNT, 10_000])
def test_a_token_outside_the_list_is_refused(explorer, token):
    with pytest.raises(traitlets.TraitError, match="token must be 0 to 125"):
        explorer.token = token


def test_the_page_holds_state_picture_and_module(explorer):
    html = explorer._repr_html_()
    found = re.search(r'<script type="application/json">(.*?)</script>', html, re.S)
    assert found
    assert json.loads(found[1]) == {
        "token": 100,
        "shapes": [list(shape) for shape in SHAPES],
        "canvas": list(CANVAS),
        "size": [60, 70],
    }
    assert html.count("data:image/webp") == 1
    assert html == TokenExplorer(IMAGE, CANVAS, SHAPES, token=100)._repr_html_()


def test_the_bundle_is_small(explorer):
    assert sum(path.stat().st_size for path in explorer._bundle) < 60_000


def test_it_draws_itself_for_print(explorer):
    assert isinstance(explorer.figure(), Figure)
    assert repr(explorer) == "TokenExplorer(token=100)"
