"""The box loss explorer's Python half: losses, slopes, errors, page and picture."""

import json
import re
from typing import Any

import pytest
import torch
import traitlets
from matplotlib.figure import Figure
from torch.testing import assert_close
from torchvision.ops import box_convert, box_iou, generalized_box_iou

from detr_tutorial.widgets import BoxLossExplorer

BOX, OTHER = torch.tensor([0.22, 0.68, 0.2, 0.24]), torch.tensor([0.62, 0.38, 0.32, 0.4])


def arguments(**changes: Any) -> dict[str, Any]:
    return {"box": BOX, "other": OTHER, **changes}


@pytest.fixture
def explorer() -> BoxLossExplorer:
    return BoxLossExplorer(**arguments())


def state_of(html: str) -> dict:
    found = re.search(r'<script type="application/json">(.*?)</script>', html, re.S)
    assert found
    return json.loads(found[1])


@pytest.mark.parametrize("box", [[0.22, 0.68, 0.2, 0.24], [0.55, 0.45, 0.2, 0.3], [0.6, 0.4, 0.1, 0.1]])
def test_the_losses_are_those_of_torchvision(explorer, box):
    explorer.box = box
    corners = [
        box_convert(torch.tensor([each], dtype=torch.float64), "cxcywh", "xyxy")
        for each in (box, explorer.other)
    ]
    values = {
        name: torch.tensor(value, dtype=torch.float64) for name, (value, _) in explorer.values().items()
    }
    assert_close(values["iou"], 1 - box_iou(corners[0], corners[1])[0, 0])
    assert_close(values["giou"], 1 - generalized_box_iou(corners[0], corners[1])[0, 0])
    assert_close(values["sum"], 5 * values["l1"] + 2 * values["giou"])


def test_apart_the_iou_has_no_slope_and_the_others_have(explorer):
    values = explorer.values()
    assert values["iou"] == (1.0, [0.0] * 4)
    assert values["l1"][1] == [-1.0, 1.0, -1.0, -1.0]
    assert all(slope != 0 for slope in values["giou"][1])


def test_inside_only_the_distance_moves_the_center(explorer):
    explorer.box = [0.6, 0.4, 0.1, 0.1]
    values = explorer.values()
    assert [round(slope, 9) for slope in values["giou"][1][:2]] == [0, 0]
    assert values["l1"][1][:2] == [-1.0, 1.0]


@pytest.mark.parametrize(
    "box", [[], [0.5, 0.5, 0.1], [0.5, 1.2, 0.1, 0.1], [0.5, 0.5, 0.0, 0.1], ["x", 0.5, 0.1, 0.1]]
)
@pytest.mark.parametrize("name", ["box", "other"])
def test_a_box_that_is_none_is_refused(explorer, name, box):
    with pytest.raises(traitlets.TraitError, match=f"{name} must"):
        setattr(explorer, name, box)


def test_a_loss_that_is_none_is_refused(explorer):
    with pytest.raises(traitlets.TraitError, match="loss must be one of"):
        explorer.loss = "l2"


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"box": BOX * 5}, "box must have its center"),
        ({"other": OTHER * float("nan")}, "other must have its center"),
        ({"box": BOX * torch.tensor([1, 1, 0.01, 1])}, "box must have its center"),
        ({"loss": "l2"}, "loss must be one of"),
    ],
)
def test_bad_arguments_are_named(changes, says):
    with pytest.raises(ValueError, match=says):
        BoxLossExplorer(**arguments(**changes))


def test_the_page_stays_small_and_carries_its_state(explorer):
    html = explorer._repr_html_()
    assert len(html) < 60_000
    state = state_of(html)
    assert set(state) == {"box", "other", "loss", "scene"}
    assert state["scene"]["box"] == state["box"]


def test_the_same_explorer_gives_the_same_page(explorer):
    assert BoxLossExplorer(**arguments())._repr_html_() == explorer._repr_html_()


def test_with_a_kernel_it_is_a_widget_and_a_page(explorer, monkeypatch):
    monkeypatch.delenv("DETR_TUTORIAL_STATIC_WIDGETS", raising=False)
    data, _ = explorer._repr_mimebundle_()
    assert {"text/html", "application/vnd.jupyter.widget-view+json"} <= set(data)


@pytest.mark.parametrize("loss", ["l1", "iou", "giou", "sum"])
def test_the_figure_shows_both_boxes_and_the_numbers(explorer, loss):
    explorer.loss = loss
    figure = explorer.figure()
    assert isinstance(figure, Figure)
    left, right = figure.axes[:2]
    assert len(left.patches) == 2
    (table,) = right.tables
    assert table[1, 1].get_text().get_text() == f"{explorer.values()['l1'][0]:.2f}"
