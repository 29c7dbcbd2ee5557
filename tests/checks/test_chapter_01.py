"""Chapter 1: its checks find what is wrong, and the code in the notebook is right by them."""

from itertools import permutations

import pytest
import torch
from scipy.optimize import linear_sum_assignment
from torch.testing import assert_close
from torchvision.ops import box_convert, nms

from detr_tutorial import checks
from detr_tutorial.checks.chapter_01 import (
    class_targets_by_loops,
    greedy_by_loops,
)
from detr_tutorial.matching import MatchCost, matching_cost
from tests.checks.notebook import Exercises

NOTEBOOK = "01_set_prediction"


class TestExercises(Exercises):
    solutions = 4
    judged = (2, 3)


def random_scene(seed: int, num_slots: int = 7, num_objects: int = 3) -> tuple[torch.Tensor, ...]:
    """Logits (Q, 4) with "nothing" last, boxes (Q, 4), labels (n,), objects (n, 4)."""
    generator = torch.Generator().manual_seed(seed)
    corners = torch.rand(num_slots + num_objects, 2, 2, generator=generator).sort(dim=1).values
    boxes = box_convert(corners.flatten(1), "xyxy", "cxcywh")
    logits = torch.randn(num_slots, 4, generator=generator)
    labels = torch.randint(0, 3, (num_objects,), generator=generator)
    return logits, boxes[:num_slots], labels, boxes[num_slots:]


@pytest.mark.parametrize(
    ("check", "wrong_function"),
    [
        (checks.greedy_match, lambda cost: greedy_by_loops(cost) + 1),
        (checks.greedy_match, lambda cost: greedy_by_loops(cost.abs())),
        (checks.greedy_match, lambda cost: greedy_by_loops(cost)[:, None]),
        (checks.greedy_match, lambda cost: cost[100]),
        (checks.class_targets, lambda slots, items, labels, q, nothing: torch.full((q,), nothing)),
        (checks.class_targets, lambda slots, items, labels, q, nothing: torch.zeros(q + 1)),
        (checks.class_targets, lambda slots, items, labels, q, nothing: labels[100]),
    ],
)
def test_other_wrong_answers_fail_too(check, wrong_function):
    assert not check(wrong_function).passed


@pytest.mark.parametrize("seed", range(5))
def test_the_greedy_reference_takes_every_slot_once_and_the_smallest_entry_first(seed):
    cost = torch.rand(6, 4, generator=torch.Generator().manual_seed(seed))
    chosen = greedy_by_loops(cost)
    assert len(chosen.unique()) == 4
    slot, item = divmod(int(cost.argmin()), 4)
    assert chosen[item] == slot


def test_the_class_target_reference_says_nothing_where_no_object_is():
    empty = torch.empty(0, dtype=torch.int64)
    assert class_targets_by_loops(empty, empty, empty, 3, 5).tolist() == [5, 5, 5]


@pytest.mark.parametrize("seed", range(5))
def test_the_suppression_of_the_notebook_equals_torchvision(chapter, seed):
    generator = torch.Generator().manual_seed(seed)
    corners = (torch.rand(40, 2, 2, generator=generator) * 30).sort(dim=1).values.flatten(1)
    scores = torch.rand(40, generator=generator)
    for threshold in (0.0, 0.3, 0.8):
        assert_close(chapter["suppress"](corners, scores, threshold), nms(corners, scores, threshold))


@pytest.mark.parametrize("seed", range(5))
def test_the_cost_of_the_notebook_equals_the_package(chapter, seed):
    logits, boxes, labels, objects = random_scene(seed)
    target = {"labels": labels, "boxes": objects}
    wanted = matching_cost(logits, boxes, target, MatchCost(label=1), background_class=True)
    assert_close(chapter["pair_cost"](logits.softmax(-1), boxes, labels, objects), wanted)


@pytest.mark.parametrize("seed", range(5))
def test_trying_all_pairings_gives_what_scipy_gives_and_greedy_is_never_cheaper(chapter, seed):
    cost = torch.rand(5, 3, generator=torch.Generator().manual_seed(seed))
    slots, items = linear_sum_assignment(cost)
    columns = torch.arange(3)
    cheapest = cost[slots, items].sum()
    assert_close(cost[chapter["try_all"](cost), columns].sum(), cheapest)
    assert cost[chapter["greedy"](cost), columns].sum() >= cheapest - 1e-6
    assert_close(chapter["greedy"](cost), greedy_by_loops(cost))


@pytest.mark.parametrize("seed", range(3))
def test_the_loss_of_the_notebook_sees_no_order(chapter, seed):
    logits, boxes, labels, objects = random_scene(seed, num_slots=4)
    value = chapter["set_loss"](logits, boxes, labels, objects)
    for p in map(list, permutations(range(4))):
        assert_close(chapter["set_loss"](logits[p], boxes[p], labels, objects), value)


@pytest.mark.parametrize("seed", range(3))
def test_a_picture_without_objects_only_asks_every_slot_to_say_nothing(chapter, seed):
    logits, boxes, labels, objects = random_scene(seed)
    boxes.requires_grad_()
    value = chapter["set_loss"](logits, boxes, labels[:0], objects[:0])
    assert_close(value, -logits.log_softmax(-1)[:, chapter["NOTHING"]].mean())
    value.backward()
    assert boxes.grad is not None
    assert not boxes.grad.any()


@pytest.mark.parametrize("seed", range(3))
def test_the_loss_of_the_notebook_is_the_sum_over_the_pairs_by_loops(chapter, seed):
    logits, boxes, labels, objects = random_scene(seed)
    cost = chapter["pair_cost"](logits.softmax(-1), boxes, labels, objects)
    slots, items = linear_sum_assignment(cost)
    wanted, log_probability = [chapter["NOTHING"]] * len(logits), logits.log_softmax(-1)
    value = torch.tensor(0.0)
    for slot, item in zip(slots.tolist(), items.tolist(), strict=True):
        wanted[slot] = int(labels[item])
        giou_and_distance = cost[slot, item] + logits.softmax(-1)[slot, labels[item]]
        value = value + (giou_and_distance + 2) / len(objects)
    for slot, label in enumerate(wanted):
        value = value - log_probability[slot, label] / len(logits)
    assert_close(chapter["set_loss"](logits, boxes, labels, objects), value)


def test_each_box_of_the_sky_is_counted_once_as_found_duplicate_or_bad_fit(chapter):
    galaxies = chapter["galaxies"]
    assert chapter["judge"](galaxies) == (len(galaxies), 0, 0)
    shifted = galaxies + torch.tensor([500.0, 0, 500, 0])
    assert chapter["judge"](torch.cat([galaxies[:4], galaxies[:2], shifted[:3]])) == (4, 2, 3)
