"""Chapter 17: its checks find what is wrong, and the code in the notebook is right by them."""

from itertools import permutations

import pytest
import torch
from torch.testing import assert_close
from torchvision.ops import box_convert, box_iou, generalized_box_iou

from detr_tutorial import checks
from detr_tutorial.checks.chapter_17 import box_losses_by_loops, class_loss_by_loops
from detr_tutorial.detections import Detections
from detr_tutorial.losses import SetCriterion, sigmoid_focal_loss
from detr_tutorial.matching import hungarian_match, matching_cost
from tests.checks.notebook import Exercises

NOTEBOOK = "17_matching_and_losses"
CLASSES = 4


class TestExercises(Exercises):
    solutions = 4
    judged = (2, 3)


def random_boxes(*sizes: int, generator: torch.Generator) -> torch.Tensor:
    corners = torch.rand(*sizes, 2, 2, generator=generator, dtype=torch.float64).sort(dim=-2).values
    return box_convert(corners.flatten(-2), "xyxy", "cxcywh")


def random_batch(seed: int, counts: tuple[int, ...] = (3, 0, 5), queries: int = 7):
    """Logits (B, Q, classes), boxes (B, Q, 4) and targets, all in float64."""
    generator = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(len(counts), queries, CLASSES, generator=generator, dtype=torch.float64)
    targets = [
        {
            "labels": torch.randint(CLASSES, (count,), generator=generator),
            "boxes": random_boxes(count, generator=generator),
        }
        for count in counts
    ]
    return logits, random_boxes(len(counts), queries, generator=generator), targets


@pytest.mark.parametrize(
    ("check", "wrong_function"),
    [
        (checks.class_loss, lambda logits, queries, labels, count: logits.sum()),
        (checks.class_loss, lambda logits, queries, labels, count: 0.0),
        (checks.class_loss, lambda logits, queries, labels, count: logits[100]),
        (checks.class_loss, lambda *given: class_loss_by_loops(*given) + 0.01),
        (checks.box_losses, lambda boxes, objects, count: (boxes - objects).abs().sum() / count),
        (checks.box_losses, lambda *given: box_losses_by_loops(*given)[::-1]),
        (checks.box_losses, lambda boxes, objects, count: (boxes[100], objects[100])),
        (checks.box_losses, lambda boxes, objects, count: box_losses_by_loops(objects, boxes, 2 * count)),
    ],
)
def test_other_wrong_answers_fail_too(check, wrong_function):
    assert not check(wrong_function).passed


@pytest.mark.parametrize("seed", range(4))
def test_the_references_of_the_checks_are_the_losses_of_the_package(seed):
    logits, boxes, targets = random_batch(seed, counts=(5,))
    losses = SetCriterion(CLASSES)(Detections(logits, boxes, []), targets)
    [(queries, items)] = hungarian_match(logits, boxes, targets)
    labels = class_loss_by_loops(logits[0], queries, targets[0]["labels"][items], 5.0)
    distance, giou = box_losses_by_loops(boxes[0][queries], targets[0]["boxes"][items], 5.0)
    for name, mine in (("labels", labels), ("boxes", distance), ("giou", giou)):
        assert_close(mine.double(), losses[name], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("alpha", "gamma"), [(0.25, 2.0), (0.6, 1.5), (0.5, 0.0)])
def test_the_focal_loss_of_the_notebook_and_its_slope_are_those_of_the_package(chapter, alpha, gamma):
    logits = torch.linspace(-9, 9, 37, dtype=torch.float64, requires_grad=True)
    for wanted in (torch.ones_like(logits), torch.zeros_like(logits)):
        theirs = sigmoid_focal_loss(logits, wanted, alpha, gamma)
        assert_close(chapter["focal"](logits, wanted, alpha, gamma), theirs)
        (slope,) = torch.autograd.grad(theirs.sum(), logits)
        assert_close(chapter["focal_slope"](logits.detach(), wanted, alpha, gamma), slope)


@pytest.mark.parametrize("seed", range(3))
def test_the_overlaps_of_the_notebook_are_those_of_torchvision(chapter, seed):
    generator = torch.Generator().manual_seed(seed)
    some, others = random_boxes(9, generator=generator), random_boxes(9, generator=generator)
    iou, giou = chapter["iou_and_giou"](some, others)
    corners = [box_convert(boxes, "cxcywh", "xyxy") for boxes in (some, others)]
    assert_close(iou, box_iou(corners[0], corners[1]).diagonal())
    assert_close(giou, generalized_box_iou(corners[0], corners[1]).diagonal())


@pytest.mark.parametrize("seed", range(3))
def test_prices_pairs_and_losses_of_the_notebook_are_those_of_the_package(chapter, seed):
    logits, boxes, targets = random_batch(seed)
    for picture, target in enumerate(targets):
        price = chapter["price"](logits[picture], boxes[picture], target)
        assert_close(price, matching_cost(logits[picture], boxes[picture], target))
    losses = SetCriterion(CLASSES)(Detections(logits, boxes, []), targets)
    mine = chapter["judge_batch"](logits, boxes, targets, 8)
    for name, loss in mine.items():
        assert_close(loss, losses[name])


@pytest.mark.parametrize("seed", range(3))
def test_the_cheapest_pairing_has_the_smallest_loss_of_all(chapter, seed):
    logits, boxes, targets = random_batch(seed, counts=(3,), queries=5)
    judge, weighted, target = chapter["judge"], chapter["weighted"], targets[0]
    matched = weighted(judge(logits[0], boxes[0], target, hungarian_match(logits, boxes, targets)[0]))
    others = [
        weighted(judge(logits[0], boxes[0], target, (torch.tensor(chosen), torch.arange(3))))
        for chosen in permutations(range(5), 3)
    ]
    assert_close(matched, min(others))


def test_the_loss_of_all_layers_and_proposals_is_that_of_the_package(chapter):
    detections, targets = chapter["detections"], chapter["targets"]
    mine = chapter["whole_loss"](detections, targets)
    theirs = SetCriterion(6)(detections, targets)
    assert set(theirs) - set(mine) == {"cardinality_error"}
    for name, loss in mine.items():
        assert_close(loss, theirs[name], rtol=1e-4, atol=1e-5)


def test_only_the_heads_of_the_last_layer_learn_from_its_loss(chapter):
    learned = chapter["heads_that_learn"]
    losses = chapter["whole_loss"](chapter["detections"], chapter["targets"])
    last = {name: losses[name] for name in ("labels", "boxes", "giou")}
    assert learned(chapter["total"](last)) == ["decoder.class_heads.2", "decoder.box_heads.2"]
    first = {name: losses[f"{name}_0"] for name in last}
    assert learned(chapter["total"](first)) == ["decoder.class_heads.0", "decoder.box_heads.0"]
