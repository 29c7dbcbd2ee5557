"""Matching: the price of a pair, and the cheapest assignment."""

import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close

from detr_tutorial import matching
from detr_tutorial.boxes import paired_giou, pairwise_giou
from detr_tutorial.losses import sigmoid_focal_loss
from detr_tutorial.matching import MatchCost, hungarian_match, matching_cost

FEW = settings(deadline=None, derandomize=True, max_examples=40, database=None)
LABEL_ONLY = MatchCost(label=1, boxes=0, giou=0)


def random_boxes(count: int, generator: torch.Generator) -> torch.Tensor:
    """Return boxes inside the image, some of them tiny."""
    size = torch.rand(count, 2, generator=generator) * 0.8
    center = size / 2 + torch.rand(count, 2, generator=generator) * (1 - size)
    return torch.cat([center, size], dim=1)


def example(counts: list[int], queries: int, columns: int, classes: int, seed: int = 0):
    """Return logits (B, Q, columns), boxes (B, Q, 4) and targets with `counts` objects."""
    generator = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(len(counts), queries, columns, generator=generator)
    boxes = torch.stack([random_boxes(queries, generator) for _ in counts])
    targets = [
        {
            "labels": torch.randint(classes, (count,), generator=generator),
            "boxes": random_boxes(count, generator),
        }
        for count in counts
    ]
    return logits, boxes, targets


def giou_by_hand(one: list[float], other: list[float]) -> float:
    low, high = zip(
        *[(cx - w / 2, cx + w / 2) for cx, w in ((one[0], one[2]), (other[0], other[2]))], strict=True
    )
    left, right = zip(
        *[(cy - h / 2, cy + h / 2) for cy, h in ((one[1], one[3]), (other[1], other[3]))], strict=True
    )
    both = max(0.0, min(high) - max(low)) * max(0.0, min(right) - max(left))
    either = one[2] * one[3] + other[2] * other[3] - both
    around = (max(high) - min(low)) * (max(right) - min(left))
    return both / either - (around - either) / around


def price_by_hand(
    logits: list[float],
    box: list[float],
    label: int,
    other: list[float],
    weights: MatchCost,
    background: bool,
) -> float:
    if background:
        label_cost = -math.exp(logits[label]) / sum(math.exp(value) for value in logits)
    else:
        p = 1 / (1 + math.exp(-logits[label]))
        label_cost = 0.25 * (1 - p) ** 2 * -math.log(p) - 0.75 * p**2 * -math.log(1 - p)
    distance = sum(abs(a - b) for a, b in zip(box, other, strict=True))
    return weights.label * label_cost + weights.boxes * distance - weights.giou * giou_by_hand(box, other)


@pytest.mark.parametrize("background", [False, True])
def test_the_price_of_every_pair_is_the_one_by_hand(background):
    logits, boxes, (target,) = example([3], 7, 5 + background, 5)
    weights = MatchCost(label=1.5, boxes=4, giou=3)
    cost = matching_cost(logits[0].double(), boxes[0].double(), target, weights, background)
    assert cost.shape == (7, 3)
    for query, found in itertools.product(range(7), range(3)):
        expected = price_by_hand(
            logits[0, query].tolist(),
            boxes[0, query].tolist(),
            int(target["labels"][found]),
            target["boxes"][found].tolist(),
            weights,
            background,
        )
        assert abs(cost[query, found].item() - expected) < 1e-6


def test_the_class_price_at_three_probabilities():
    """Mistake 54: another alpha, or minus the probability, in the matching of a sigmoid head."""
    probability = torch.tensor([0.01, 0.5, 0.9], dtype=torch.float64)
    boxes = torch.full((3, 4), 0.5, dtype=torch.float64)
    target = {"labels": torch.tensor([0]), "boxes": boxes[:1].float()}
    cost = matching_cost(torch.logit(probability)[:, None], boxes, target, LABEL_ONLY)
    assert_close(cost[:, 0], torch.tensor([1.128, -0.087, -1.399]).double(), atol=5e-4, rtol=0)


def test_the_class_price_is_the_change_of_the_focal_loss():
    """Mistake 54: alpha and gamma that differ between matching and loss."""
    logits = torch.linspace(-9, 9, 13, dtype=torch.float64)
    boxes = torch.full((13, 4), 0.5, dtype=torch.float64)
    target = {"labels": torch.tensor([0]), "boxes": boxes[:1]}
    as_object = sigmoid_focal_loss(logits, torch.ones_like(logits))
    as_nothing = sigmoid_focal_loss(logits, torch.zeros_like(logits))
    cost = matching_cost(logits[:, None], boxes, target, LABEL_ONLY)
    assert_close(cost[:, 0], as_object - as_nothing)


def test_published_weights_are_the_defaults():
    assert MatchCost() == MatchCost(label=2, boxes=5, giou=2)
    logits, boxes, (target,) = example([3], 7, 5, 5)
    assert torch.equal(
        matching_cost(logits[0], boxes[0], target), matching_cost(logits[0], boxes[0], target, MatchCost())
    )


def test_width_comes_before_height():
    """Mistake 65: boxes read as (cx, cy, height, width)."""
    wide, tall = [0.5, 0.5, 0.8, 0.2], [0.5, 0.5, 0.2, 0.8]
    # A thin object on the left edge overlaps a wide box, and misses a tall one.
    target = {"labels": torch.tensor([0]), "boxes": torch.tensor([[0.2, 0.5, 0.1, 0.1]])}
    cost = matching_cost(torch.zeros(2, 1), torch.tensor([wide, tall]), target, MatchCost(0, 0, 1))
    inside = torch.tensor([[0.1, 0.4, 0.9, 0.6], [0.4, 0.1, 0.6, 0.9]])
    assert_close(cost, -pairwise_giou(inside, torch.tensor([[0.15, 0.45, 0.25, 0.55]])))
    assert cost[0] < 0 < cost[1]


@FEW
@given(st.integers(1, 6), st.integers(0, 6), st.booleans(), st.integers(0, 10_000))
def test_no_other_assignment_is_cheaper(queries, count, background, seed):
    """Mistake 61: rows and columns swapped when there are fewer queries than objects."""
    logits, boxes, targets = example([count], queries, 4 + background, 4, seed)
    cost = matching_cost(logits[0], boxes[0], targets[0], background_class=background).tolist()
    ((found_queries, found_objects),) = hungarian_match(logits, boxes, targets, background_class=background)
    small = min(queries, count)
    assert len(found_queries) == len(found_objects) == small
    assert len(set(found_queries.tolist())) == len(set(found_objects.tolist())) == small
    price = sum(cost[q][n] for q, n in zip(found_queries.tolist(), found_objects.tolist(), strict=True))
    if queries >= count:
        choices = (
            [(q, n) for n, q in enumerate(some)] for some in itertools.permutations(range(queries), count)
        )
    else:
        choices = (
            [(q, n) for q, n in enumerate(some)] for some in itertools.permutations(range(count), queries)
        )
    cheapest = min(sum(cost[q][n] for q, n in choice) for choice in choices)
    assert abs(price - cheapest) < 1e-5


@FEW
@given(st.lists(st.integers(0, 9), min_size=1, max_size=3), st.integers(0, 10_000))
def test_indices_are_sorted_whole_numbers_on_the_cpu(counts, seed):
    logits, boxes, targets = example(counts, 5, 3, 3, seed)
    matches = hungarian_match(logits, boxes, targets)
    assert len(matches) == len(counts)
    for count, (queries, objects) in zip(counts, matches, strict=True):
        assert queries.dtype == objects.dtype == torch.int64
        assert queries.device.type == objects.device.type == "cpu"
        assert queries.shape == objects.shape == (min(5, count),)
        assert queries.tolist() == sorted(set(queries.tolist()))
        assert set(objects.tolist()) <= set(range(count))


def test_every_image_is_matched_with_its_own_objects():
    """Mistake 61: the columns of the cost divided wrongly between images, also with an empty one."""
    logits, boxes, targets = example([3, 0, 5, 1], 7, 4, 4)
    together = hungarian_match(logits, boxes, targets)
    for image, (queries, objects) in enumerate(together):
        alone = hungarian_match(
            logits[image : image + 1], boxes[image : image + 1], targets[image : image + 1]
        )
        assert torch.equal(queries, alone[0][0])
        assert torch.equal(objects, alone[0][1])
    order = [2, 0, 3, 1]
    shuffled = hungarian_match(logits[order], boxes[order], [targets[image] for image in order])
    for place, image in enumerate(order):
        assert torch.equal(shuffled[place][0], together[image][0])
        assert torch.equal(shuffled[place][1], together[image][1])


@FEW
@given(st.integers(0, 8), st.integers(0, 10_000))
def test_the_order_of_queries_and_of_objects_does_not_matter(count, seed):
    """Mistake 61: indices of queries and of objects mixed up."""
    logits, boxes, targets = example([count], 5, 3, 3, seed)
    ((queries, objects),) = hungarian_match(logits, boxes, targets)
    generator = torch.Generator().manual_seed(seed)
    new_queries, new_objects = (
        torch.randperm(5, generator=generator),
        torch.randperm(count, generator=generator),
    )
    shuffled = [{key: value[new_objects] for key, value in targets[0].items()}]
    ((found_queries, found_objects),) = hungarian_match(
        logits[:, new_queries], boxes[:, new_queries], shuffled
    )
    pairs = set(zip(queries.tolist(), objects.tolist(), strict=True))
    found = zip(new_queries[found_queries].tolist(), new_objects[found_objects].tolist(), strict=True)
    assert set(found) == pairs


@pytest.mark.parametrize("background", [False, True])
def test_the_largest_label_is_a_class_like_any_other(background):
    """Mistake 50: one class too many or too few."""
    logits = torch.full((1, 3, 4 + background), -4.0)
    logits[0, 1, 3] = 4
    boxes = torch.full((1, 3, 4), 0.5)
    targets = [{"labels": torch.tensor([3]), "boxes": boxes[0, :1]}]
    ((queries, objects),) = hungarian_match(logits, boxes, targets, background_class=background)
    assert (queries.tolist(), objects.tolist()) == ([1], [0])


def test_a_query_that_is_not_allowed_stays_without_an_object():
    logits, boxes, targets = example([2, 2], 6, 3, 3)
    boxes[:, 0] = targets[0]["boxes"][0]  # the best by far, but not allowed
    allowed = torch.ones(2, 6, dtype=torch.bool)
    allowed[0, [0, 2, 5]] = False
    allowed[1] = torch.tensor([False, True, False, False, False, False])
    free = hungarian_match(logits, boxes, targets)
    (queries, _), (few, few_objects) = hungarian_match(logits, boxes, targets, allowed=allowed)
    assert 0 in free[0][0]
    assert len(queries) == 2
    assert set(queries.tolist()) <= {1, 3, 4}
    rest = [1, 3, 4]
    ((among_rest, _),) = hungarian_match(logits[:1, rest], boxes[:1, rest], targets[:1])
    assert queries.tolist() == [rest[index] for index in among_rest.tolist()]
    assert few.tolist() == [1]  # two objects, one query that may take one
    assert len(few_objects) == 1
    nobody = hungarian_match(logits, boxes, targets, allowed=torch.zeros_like(allowed))
    assert [len(queries) for queries, _ in nobody] == [0, 0]


@pytest.mark.parametrize("background", [False, True])
def test_nothing_of_the_matching_has_a_gradient(background):
    """Mistake 59: the graph of the cost is built, and kept."""
    logits, boxes, targets = example([3], 7, 5 + background, 5)
    logits.requires_grad_()
    boxes.requires_grad_()
    assert not matching_cost(logits[0], boxes[0], targets[0], background_class=background).requires_grad
    hungarian_match(logits, boxes, targets, background_class=background)
    assert logits.grad is None
    assert boxes.grad is None


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("background", [False, True])
def test_the_cost_of_half_precision_is_computed_in_float32(dtype, background):
    """Mistake 62: sigmoid, log and distance in half precision."""
    logits, boxes, targets = example([3], 7, 5 + background, 5)
    logits[0, :4] *= 12  # saturated: in half precision the sigmoid is 0 or 1, and its log infinite
    logits, boxes = logits.to(dtype), boxes.to(dtype)
    cost = matching_cost(logits[0], boxes[0], targets[0], background_class=background)
    assert cost.dtype == torch.float32
    exact = matching_cost(logits[0].double(), boxes[0].double(), targets[0], background_class=background)
    assert exact.dtype == torch.float64
    assert_close(cost, exact.float(), atol=1e-5, rtol=1e-5)
    half = hungarian_match(logits, boxes, targets, background_class=background)
    full = hungarian_match(logits.double(), boxes.double(), targets, background_class=background)
    assert torch.equal(half[0][0], full[0][0])
    assert torch.equal(half[0][1], full[0][1])


def test_autocast_does_not_reach_the_cost(monkeypatch):
    """Mistake 62: mixed precision lowers the precision of the cost."""
    states = []

    def watched(boxes: torch.Tensor, others: torch.Tensor) -> torch.Tensor:
        states.append(torch.is_autocast_enabled("cpu"))
        return paired_giou(boxes, others)

    monkeypatch.setattr(matching, "paired_giou", watched)
    logits, boxes, targets = example([3], 7, 5, 5)
    outside = matching_cost(logits[0], boxes[0], targets[0])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = matching_cost(logits[0], boxes[0], targets[0])
    assert states == [False, False]
    assert inside.dtype == torch.float32
    assert torch.equal(inside, outside)


@pytest.mark.parametrize("size", [[0.0, 0.0], [0.0, 0.3]])
def test_boxes_without_area_have_a_finite_price(size):
    """Mistake 57: 0 / 0 in the overlap of degenerate boxes."""
    boxes = torch.tensor([[0.5, 0.5, *size]] * 3)
    target = {"labels": torch.tensor([0, 1]), "boxes": boxes[:2]}
    assert torch.isfinite(matching_cost(torch.zeros(3, 2), boxes, target)).all()


def test_nothing_changes_its_arguments():
    logits, boxes, targets = example([3, 0], 7, 5, 5)
    before = [
        logits.clone(),
        boxes.clone(),
        *(value.clone() for target in targets for value in target.values()),
    ]
    hungarian_match(logits, boxes, targets, allowed=torch.rand(2, 7) > 0.2)
    after = [logits, boxes, *(value for target in targets for value in target.values())]
    assert all(torch.equal(*pair) for pair in zip(before, after, strict=True))
