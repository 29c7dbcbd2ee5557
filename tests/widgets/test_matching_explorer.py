"""The matching explorer's Python half: costs, pairs, errors, page and picture."""

import json
import re
from typing import Any

import pytest
import torch
import traitlets
from matplotlib.figure import Figure
from scipy.optimize import linear_sum_assignment
from torch.testing import assert_close

from detr_tutorial.matching import MatchCost, matching_cost
from detr_tutorial.widgets import MatchingExplorer

NAMES = ["cup", "saucer", "spoon"]
PROBABILITY = torch.tensor(
    [[0.05, 0.05, 0.80, 0.10], [0.50, 0.40, 0.05, 0.05], [0.02, 0.03, 0.05, 0.90], [0.60, 0.10, 0.05, 0.25]]
)
BOXES = torch.tensor(
    [[0.62, 0.49, 0.15, 0.52], [0.48, 0.46, 0.47, 0.78], [0.88, 0.18, 0.17, 0.25], [0.47, 0.32, 0.32, 0.60]]
)
LABELS = torch.tensor([0, 1, 2])
OBJECTS = torch.tensor([[0.48, 0.41, 0.39, 0.73], [0.46, 0.57, 0.67, 0.80], [0.62, 0.49, 0.16, 0.65]])


def arguments(**changes: Any) -> dict[str, Any]:
    image = torch.rand(3, 80, 120, generator=torch.Generator().manual_seed(0))
    given = {"image": image, "probability": PROBABILITY, "boxes": BOXES, "labels": LABELS}
    return {**given, "objects": OBJECTS, "names": NAMES, **changes}


@pytest.fixture
def explorer() -> MatchingExplorer:
    return MatchingExplorer(**arguments())


def state_of(html: str) -> dict:
    found = re.search(r'<script type="application/json">(.*?)</script>', html, re.S)
    assert found
    return json.loads(found[1])


def test_the_cost_is_that_of_the_package_with_detrs_weights(explorer):
    target = {"labels": LABELS, "boxes": OBJECTS}
    wanted = matching_cost(PROBABILITY.log(), BOXES, target, MatchCost(label=1), background_class=True)
    assert_close(explorer.cost().float(), wanted, atol=2e-5, rtol=1e-5)


def test_moving_a_slot_changes_its_row_only(explorer):
    before = explorer.cost()
    explorer.boxes = [*explorer.boxes[:2], [0.5, 0.6, 0.17, 0.25], explorer.boxes[3]]
    changed = (explorer.cost() != before).any(dim=1)
    assert changed.tolist() == [False, False, True, False]


def test_the_three_rules_differ_where_one_slot_is_good_for_two_objects(explorer):
    pairs = {}
    for rule in ("cheapest", "greedy", "nearest"):
        explorer.rule = rule
        pairs[rule] = explorer.pairs()
    assert pairs == {"cheapest": [3, 1, 0], "greedy": [1, 3, 0], "nearest": [1, 1, 0]}
    slots, items = linear_sum_assignment(explorer.cost())
    assert [int(slots[items == item][0]) for item in range(3)] == pairs["cheapest"]


@pytest.mark.parametrize(
    "boxes",
    [[], [[0.5, 0.5, 0.1, 0.1]], [[0.5, 0.5, 0.1]] * 4, [[0.5, 1.2, 0.1, 0.1]] * 4, [["x", 0, 0, 0]] * 4],
)
def test_boxes_that_are_none_are_refused(explorer, boxes):
    with pytest.raises(traitlets.TraitError, match="boxes must"):
        explorer.boxes = boxes


def test_a_rule_that_is_none_is_refused(explorer):
    with pytest.raises(traitlets.TraitError, match="rule must be one of"):
        explorer.rule = "random"


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"image": torch.rand(3, 8, 12) + 2}, "image must lie in"),
        ({"boxes": BOXES * 3}, "boxes must lie in"),
        ({"objects": OBJECTS * float("nan")}, "objects must lie in"),
        ({"labels": torch.tensor([0, 1, 3])}, "labels must be 0 to 2"),
        ({"objects": OBJECTS[:0], "labels": LABELS[:0]}, "objects is empty"),
        ({"probability": PROBABILITY[:1], "boxes": BOXES[:1]}, "objects must be at most 1"),
    ],
)
def test_bad_arguments_are_named(changes, says):
    with pytest.raises(ValueError, match=says):
        MatchingExplorer(**arguments(**changes))


def test_the_page_carries_the_photograph_once_and_stays_small(explorer):
    html = explorer._repr_html_()
    assert html.count("data:image/webp") == 1
    assert len(html) < 100_000
    state = state_of(html)
    assert set(state) == {"boxes", "rule", "scene"}
    assert state["scene"]["says"] == ["spoon", "cup", "nothing", "cup"]


def test_the_same_explorer_gives_the_same_page(explorer):
    assert MatchingExplorer(**arguments())._repr_html_() == explorer._repr_html_()


def test_with_a_kernel_it_is_a_widget_and_a_page(explorer, monkeypatch):
    monkeypatch.delenv("DETR_TUTORIAL_STATIC_WIDGETS", raising=False)
    data, _ = explorer._repr_mimebundle_()
    assert {"text/html", "application/vnd.jupyter.widget-view+json"} <= set(data)


def test_the_figure_shows_photograph_and_matrix(explorer):
    figure = explorer.figure()
    assert isinstance(figure, Figure)
    left, right = figure.axes
    assert len(left.patches) == 3 + 4
    assert len(right.texts) == 12
    assert [text.get_text() for text in right.texts if text.get_text().startswith("[")] == [
        f"[{explorer.cost()[slot, item]:.2f}]" for slot, item in ((0, 2), (1, 1), (3, 0))
    ]
