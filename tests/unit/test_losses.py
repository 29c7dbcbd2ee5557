"""Losses: the focal loss, the criterion over all layers, and what it adds up."""

import math
import subprocess
import sys
import textwrap

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close

from detr_tutorial import losses as losses_module
from detr_tutorial.boxes import cxcywh_to_xyxy, paired_giou, pairwise_giou
from detr_tutorial.detections import Detections, LayerDetections, Proposals
from detr_tutorial.losses import LOG_ONLY, LossWeights, SetCriterion, sigmoid_focal_loss
from detr_tutorial.matching import MatchCost, hungarian_match

FEW = settings(deadline=None, derandomize=True, max_examples=30, database=None)
B, Q, S, CLASSES, LAYERS = 2, 7, 11, 5, 3
PARTS = ("labels", "boxes", "giou")
KINDS = pytest.mark.parametrize("loss", ["focal", "cross_entropy"])


def random_boxes(*sizes: int, generator: torch.Generator) -> torch.Tensor:
    size = 0.05 + 0.8 * torch.rand(*sizes, 2, generator=generator)
    center = size / 2 + torch.rand(*sizes, 2, generator=generator) * (1 - size)
    return torch.cat([center, size], dim=-1)


def make_targets(*counts: int, seed: int = 1) -> list[dict[str, torch.Tensor]]:
    generator = torch.Generator().manual_seed(seed)
    return [
        {
            "labels": torch.randint(CLASSES, (count,), generator=generator),
            "boxes": random_boxes(count, generator=generator),
        }
        for count in counts
    ]


def make_detections(
    loss: str = "focal", layers: int = LAYERS, encoder: bool = False, batch: int = B, seed: int = 0
) -> Detections:
    generator = torch.Generator().manual_seed(seed)
    columns = CLASSES + (loss == "cross_entropy")

    def layer(length: int) -> LayerDetections:
        logits = 2 * torch.randn(batch, length, columns, generator=generator)
        return LayerDetections(
            logits.requires_grad_(), random_boxes(batch, length, generator=generator).requires_grad_()
        )

    *auxiliary, last = [layer(Q) for _ in range(layers)]
    proposals = None
    if encoder:
        logits, boxes = layer(S)
        valid = torch.rand(batch, S, generator=generator) > 0.4
        proposals = Proposals(
            logits.detach().masked_fill(~valid[..., None], -100).requires_grad_(), boxes, valid
        )
    return Detections(*last, auxiliary, proposals, background_class=loss == "cross_entropy")


def only(logits: torch.Tensor, boxes: torch.Tensor, background_class: bool = False) -> Detections:
    """Return detections of one layer."""
    return Detections(logits, boxes, [], background_class=background_class)


# The focal loss


def focal_by_hand(logit: float, target: float, alpha: float, gamma: float) -> float:
    p = 1 / (1 + math.exp(-logit))
    right, share = (p, alpha) if target == 1 else (1 - p, 1 - alpha)
    return -share * (1 - right) ** gamma * math.log(right)


@FEW
@given(st.floats(-12, 12), st.sampled_from([0.0, 1.0]), st.floats(0, 1), st.floats(0, 4))
def test_the_focal_loss_of_one_logit_is_the_one_by_hand(logit, target, alpha, gamma):
    loss = sigmoid_focal_loss(torch.tensor(logit).double(), torch.tensor(target).double(), alpha, gamma)
    assert math.isclose(loss.item(), focal_by_hand(logit, target, alpha, gamma), rel_tol=1e-6, abs_tol=1e-12)


def test_the_focal_loss_at_the_start_of_training():
    """A prior probability of 0.01 keeps the first class loss small; 0.5 makes it 100,000 times larger."""
    prior = torch.logit(torch.tensor(0.01, dtype=torch.float64))
    nothing, something = torch.zeros_like(prior), torch.ones_like(prior)
    assert math.isclose(sigmoid_focal_loss(prior, nothing).item(), 7.54e-7, rel_tol=1e-3)
    assert math.isclose(sigmoid_focal_loss(prior, something).item(), 1.128, rel_tol=1e-3)
    detections = only(prior.expand(1, 300, 91), torch.full((1, 300, 4), 0.5).double())
    assert math.isclose(SetCriterion(91)(detections, make_targets(0))["labels"].item(), 0.0206, rel_tol=2e-3)
    even = only(torch.zeros(1, 300, 91), torch.full((1, 300, 4), 0.5))
    assert math.isclose(SetCriterion(91)(even, make_targets(0))["labels"].item(), 3548, rel_tol=1e-3)


def test_each_logit_is_judged_for_itself():
    """Mistake 53: a softmax in the focal loss, which couples the classes."""
    logits = torch.randn(Q, CLASSES, generator=torch.Generator().manual_seed(0))
    targets = torch.zeros_like(logits)
    targets[2, 3] = 1
    changed = logits.clone()
    changed[2, 1] += 3
    difference = sigmoid_focal_loss(changed, targets) != sigmoid_focal_loss(logits, targets)
    assert difference.nonzero().tolist() == [[2, 1]]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_the_focal_loss_of_half_precision_is_finite_and_float32(dtype):
    """Mistake 62: log and sigmoid in half precision."""
    logits = torch.tensor([-100.0, -20, 0, 20, 100], dtype=dtype, requires_grad=True)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        for target in (torch.zeros_like(logits), torch.ones_like(logits)):
            loss = sigmoid_focal_loss(logits, target)
            assert loss.dtype == torch.float32
            assert_close(
                loss.double(), sigmoid_focal_loss(logits.double(), target.double()), rtol=1e-5, atol=1e-6
            )
            (gradient,) = torch.autograd.grad(loss.sum(), logits)
            assert torch.isfinite(gradient).all()


# The paired overlap


@FEW
@given(st.integers(0, 6), st.integers(0, 10_000))
def test_paired_overlaps_are_the_diagonal_of_all_overlaps(count, seed):
    generator = torch.Generator().manual_seed(seed)
    some, others = (cxcywh_to_xyxy(random_boxes(count, generator=generator)) for _ in range(2))
    assert_close(paired_giou(some, others), pairwise_giou(some, others).diagonal())


# One layer, by hand


def losses_by_hand(detections: Detections, targets: list[dict], loss: str) -> dict[str, float]:
    """Compute the three losses of the last layer with loops and Python numbers."""
    background = loss == "cross_entropy"
    weights = MatchCost(label=1.0 if background else 2.0)
    matches = hungarian_match(detections.logits, detections.boxes, targets, weights, background)
    num_boxes = max(1, sum(len(target["labels"]) for target in targets))
    labels = boxes = giou = weight_sum = 0.0
    for image, (queries, objects) in enumerate(matches):
        owner = dict(zip(queries.tolist(), objects.tolist(), strict=True))
        for query in range(detections.logits.shape[1]):
            logits = detections.logits[image, query].tolist()
            wanted = int(targets[image]["labels"][owner[query]]) if query in owner else CLASSES
            if background:
                weight = 0.1 if wanted == CLASSES else 1.0
                weight_sum += weight
                labels += weight * (math.log(sum(math.exp(value) for value in logits)) - logits[wanted])
            else:
                for column, logit in enumerate(logits):
                    labels += focal_by_hand(logit, float(column == wanted), 0.25, 2) / num_boxes
            if query in owner:
                box, other = detections.boxes[image, query], targets[image]["boxes"][owner[query]]
                boxes += (
                    sum(abs(a - b) for a, b in zip(box.tolist(), other.tolist(), strict=True)) / num_boxes
                )
                overlap = pairwise_giou(cxcywh_to_xyxy(box[None]), cxcywh_to_xyxy(other[None]))
                giou += (1 - overlap.item()) / num_boxes
    return {"labels": labels / weight_sum if background else labels, "boxes": boxes, "giou": giou}


@KINDS
@pytest.mark.parametrize("counts", [(3, 0), (1, 9), (0, 0)], ids=str)
def test_the_losses_of_a_layer_are_those_by_hand(loss, counts):
    """Mistakes 52 (focal loss as a mean) and 56 (L1 as a mean over the four numbers)."""
    detections, targets = make_detections(loss, layers=1), make_targets(*counts)
    losses = SetCriterion(CLASSES, loss)(detections, targets)
    for part, expected in losses_by_hand(detections, targets, loss).items():
        assert losses[part].item() == pytest.approx(expected, rel=1e-5, abs=1e-6), part


def test_a_box_that_is_off_in_all_four_numbers_counts_four_times():
    """Mistake 56: a mean over the four numbers of a box."""
    targets = [{"labels": torch.tensor([0]), "boxes": torch.tensor([[0.5, 0.5, 0.2, 0.2]])}]
    detections = only(torch.zeros(1, 1, CLASSES), torch.tensor([[[0.6, 0.6, 0.3, 0.3]]]))
    assert SetCriterion(CLASSES)(detections, targets)["boxes"].item() == pytest.approx(0.4)


def test_the_overlap_is_that_of_corners():
    """Mistake 57: overlap of (cx, cy, w, h) taken as corners."""
    targets = [{"labels": torch.tensor([0]), "boxes": torch.tensor([[0.3, 0.5, 0.4, 0.2]])}]
    detections = only(torch.zeros(1, 1, CLASSES), torch.tensor([[[0.5, 0.5, 0.2, 0.2]]]))
    # 0.4 x 0.2 and 0.2 x 0.2 share 0.1 x 0.2: 0.02 / 0.1, and nothing of the enclosing box is empty
    assert SetCriterion(CLASSES)(detections, targets)["giou"].item() == pytest.approx(1 - 0.2)


@KINDS
def test_without_objects_the_class_loss_is_that_of_background_everywhere(loss):
    """Mistake 51: queries without an object count as class 0."""
    detections = make_detections(loss, layers=1)
    losses = SetCriterion(CLASSES, loss)(detections, make_targets(0, 0))
    if loss == "focal":
        expected = sigmoid_focal_loss(detections.logits, torch.zeros_like(detections.logits)).sum()
    else:
        expected = -detections.logits.log_softmax(dim=-1)[..., -1].mean()
    assert_close(losses["labels"], expected)
    lower = detections.logits.detach().clone()
    lower[..., 0] -= 1  # less of class 0 must not cost more
    cheaper = SetCriterion(CLASSES, loss)(
        only(lower, detections.boxes, detections.background_class), make_targets(0, 0)
    )
    assert cheaper["labels"] < losses["labels"]


@KINDS
def test_images_without_objects_give_finite_losses_with_gradient(loss):
    """Mistake 55: a division by zero objects."""
    for counts in ((0, 0), (0, 4)):
        detections = make_detections(loss, encoder=loss == "focal")
        criterion = SetCriterion(CLASSES, loss)
        losses = criterion(detections, make_targets(*counts))
        assert all(torch.isfinite(value) for value in losses.values())
        criterion.total(losses).backward()
        for layer in (detections, *detections.auxiliary):
            assert layer.logits.grad is not None
            assert torch.isfinite(layer.logits.grad).all()
            assert (layer.logits.grad[0] != 0).all()  # the empty image teaches the background
            assert layer.boxes.grad is not None
            assert torch.isfinite(layer.boxes.grad).all()
            assert (layer.boxes.grad[0] == 0).all()
            assert (layer.boxes.grad[1] != 0).any() == (counts[1] > 0)


@KINDS
def test_doubling_the_batch_leaves_the_losses_unchanged(loss):
    """Mistake 55: number of objects of an image or a layer instead of the batch."""
    detections, targets = make_detections(loss, encoder=loss == "focal"), make_targets(3, 1)
    encoder = detections.encoder

    def twice(tensor: torch.Tensor) -> torch.Tensor:
        return torch.cat([tensor, tensor])

    doubled = detections._replace(
        logits=twice(detections.logits),
        boxes=twice(detections.boxes),
        auxiliary=[LayerDetections(*map(twice, layer)) for layer in detections.auxiliary],
        encoder=None if encoder is None else Proposals(*map(twice, encoder)),
    )
    criterion = SetCriterion(CLASSES, loss)
    once, again = criterion(detections, targets), criterion(doubled, targets * 2)
    for name in once:
        assert_close(once[name], again[name])


def test_box_losses_are_divided_by_the_objects_of_the_batch():
    """Mistake 55: an image with few objects counts as much as one with many."""
    detections = make_detections(layers=1)
    both = SetCriterion(CLASSES)(detections, make_targets(3, 1))
    first = SetCriterion(CLASSES)(only(detections.logits[:1], detections.boxes[:1]), make_targets(3, 1)[:1])
    second = SetCriterion(CLASSES)(only(detections.logits[1:], detections.boxes[1:]), make_targets(3, 1)[1:])
    for part in PARTS:
        assert_close(both[part], (3 * first[part] + second[part]) / 4)


def test_a_second_copy_of_a_query_without_object_adds_its_negatives_only():
    """Mistake 52: a mean over queries, which more queries would dilute."""
    detections, targets = make_detections(layers=1), make_targets(3, 1)
    before = SetCriterion(CLASSES)(detections, targets)
    matches = hungarian_match(detections.logits, detections.boxes, targets)
    (free,) = [query for query in range(Q) if all(query not in found.tolist() for found, _ in matches)][:1]
    more = only(
        torch.cat([detections.logits, detections.logits[:, free, None]], dim=1),
        torch.cat([detections.boxes, detections.boxes[:, free, None]], dim=1),
    )
    after = SetCriterion(CLASSES)(more, targets)
    copied = detections.logits[:, free]
    assert_close(
        after["labels"] - before["labels"], sigmoid_focal_loss(copied, torch.zeros_like(copied)).sum() / 4
    )
    assert_close(after["boxes"], before["boxes"])
    assert_close(after["giou"], before["giou"])


@KINDS
def test_the_largest_label_is_the_last_class_without_background(loss):
    """Mistake 50: labels end at num_classes - 1; a sigmoid head has no column for the background."""
    detections = make_detections(loss, layers=1)
    assert detections.logits.shape[-1] == CLASSES + (loss == "cross_entropy")
    box = torch.tensor([[0.5, 0.5, 0.2, 0.2]])
    targets = [{"labels": torch.tensor([CLASSES - 1]), "boxes": box}, *make_targets(0)]
    SetCriterion(CLASSES, loss)(detections, targets)["labels"].backward()
    assert detections.logits.grad is not None
    pulled_up = (detections.logits.grad[0] < 0).nonzero()  # descent raises what has a negative gradient
    if loss == "focal":
        assert pulled_up[:, 1].tolist() == [CLASSES - 1]
    else:
        assert sorted(pulled_up[:, 1].tolist()) == [CLASSES - 1] + [CLASSES] * (Q - 1)


@KINDS
def test_order_of_queries_objects_and_images_does_not_matter(loss):
    detections, targets = make_detections(loss, layers=1), make_targets(3, 5)
    losses = SetCriterion(CLASSES, loss)(detections, targets)
    queries, images = torch.tensor([3, 0, 6, 2, 5, 1, 4]), [1, 0]
    shuffled = [{key: value.flip(0) for key, value in targets[image].items()} for image in images]
    moved = only(
        detections.logits[images][:, queries],
        detections.boxes[images][:, queries],
        detections.background_class,
    )
    for name, value in SetCriterion(CLASSES, loss)(moved, shuffled).items():
        assert_close(value, losses[name])


# All layers


@KINDS
def test_every_layer_has_its_own_losses(loss):
    detections, targets = make_detections(loss), make_targets(3, 1)
    losses = SetCriterion(CLASSES, loss)(detections, targets)
    assert set(losses) == {f"{part}{suffix}" for part in PARTS for suffix in ("", "_0", "_1")} | set(LOG_ONLY)
    for suffix, layer in zip(("_0", "_1", ""), [*detections.auxiliary, detections], strict=True):
        alone = SetCriterion(CLASSES, loss)(
            only(layer.logits, layer.boxes, detections.background_class), targets
        )
        for part in PARTS:
            assert_close(losses[f"{part}{suffix}"], alone[part])
            assert losses[f"{part}{suffix}"].shape == ()


@KINDS
def test_every_layer_is_matched_anew(loss):
    """Mistake 59: the matching of the last layer used for the earlier ones."""
    detections, targets = make_detections(loss, layers=1), make_targets(3, 1)
    queries = torch.tensor([3, 0, 6, 2, 5, 1, 4])
    earlier = LayerDetections(detections.logits[:, queries], detections.boxes[:, queries])
    losses = SetCriterion(CLASSES, loss)(detections._replace(auxiliary=[earlier]), targets)
    for part in PARTS:
        assert_close(losses[f"{part}_0"], losses[part])


@KINDS
def test_the_total_is_the_weighted_sum_of_all_but_what_is_only_logged(loss):
    """Mistake 58: losses of earlier layers and of the proposals without a weight."""
    detections = make_detections(loss, encoder=loss == "focal")
    criterion = SetCriterion(CLASSES, loss, LossWeights(labels=3, boxes=7, giou=11))
    losses = criterion(detections, make_targets(3, 1))
    weight = {"labels": 3, "boxes": 7, "giou": 11}
    expected = sum(
        weight[name.split("_")[0]] * value for name, value in losses.items() if name not in LOG_ONLY
    )
    assert_close(criterion.total(losses), expected)
    assert losses["cardinality_error"] > 0
    criterion.total(losses).backward()
    layers = [detections, *detections.auxiliary, *([detections.encoder] if loss == "focal" else [])]
    for layer in layers:
        assert layer is not None
        assert layer.logits.grad is not None
        assert layer.boxes.grad is not None
        assert (layer.logits.grad != 0).any()
        assert (layer.boxes.grad != 0).any()


@KINDS
def test_every_name_is_weighted_or_listed_as_log_only(loss):
    """Mistake 58: a name that the total leaves out in silence."""
    detections = make_detections(loss, encoder=loss == "focal")
    criterion = SetCriterion(CLASSES, loss)
    losses = criterion(detections, make_targets(3, 1))
    total = criterion.total(losses)
    for name, value in losses.items():
        raised = criterion.total({**losses, name: value + 1})
        assert (raised > total) == (name not in LOG_ONLY), name


def test_published_weights_are_the_defaults():
    assert SetCriterion(91).weights == LossWeights(labels=2, boxes=5, giou=2)
    assert SetCriterion(91).match_cost == MatchCost(label=2, boxes=5, giou=2)
    detr = SetCriterion(91, "cross_entropy")
    assert detr.weights == LossWeights(labels=1, boxes=5, giou=2)
    assert detr.match_cost == MatchCost(label=1, boxes=5, giou=2)
    assert detr.eos_coef == 0.1
    assert (detr.alpha, detr.gamma) == (0.25, 2)
    assert not list(detr.state_dict())


@KINDS
def test_match_cost_and_class_weights_reach_the_losses(loss):
    """Two queries: one knows the class, the other the box."""
    columns = CLASSES + (loss == "cross_entropy")
    logits = torch.full((1, 2, columns), -2.0)
    logits[0, 0, 3] = 2
    boxes = torch.tensor([[[0.2, 0.2, 0.1, 0.1], [0.7, 0.7, 0.2, 0.2]]])
    targets = [{"labels": torch.tensor([3]), "boxes": boxes[0, 1:]}]
    detections = only(logits, boxes, loss == "cross_entropy")
    by_box = SetCriterion(CLASSES, loss, match_cost=MatchCost(0, 1, 1))(detections, targets)
    by_label = SetCriterion(CLASSES, loss, match_cost=MatchCost(1, 0, 0))(detections, targets)
    assert by_box["boxes"] == 0
    assert by_label["boxes"] == pytest.approx(1.2)
    assert by_label["labels"] < by_box["labels"]
    other = SetCriterion(CLASSES, loss, eos_coef=0.9, alpha=0.6, gamma=1)(detections, targets)
    assert other["labels"] != SetCriterion(CLASSES, loss)(detections, targets)["labels"]


# The number of detections


@pytest.mark.parametrize("confident", [0, 3, 5])
def test_cardinality_counts_what_a_sigmoid_head_detects(confident):
    """Mistake 60: an argmax over the classes, which finds an object in every query of a sigmoid head."""
    logits = torch.full((2, 300, CLASSES), -4.6)
    logits[0, :confident, 2] = 1
    losses = SetCriterion(CLASSES)(only(logits, torch.full((2, 300, 4), 0.5)), make_targets(3, 1))
    assert losses["cardinality_error"].item() == (abs(confident - 3) + 1) / 2
    assert not losses["cardinality_error"].requires_grad


def test_cardinality_counts_what_is_not_background():
    logits = torch.zeros(2, Q, CLASSES + 1)
    logits[..., -1] = 0.5  # background, with a probability far below a half
    logits[0, :5, 1] = 1
    detections = only(logits, torch.full((2, Q, 4), 0.5), background_class=True)
    losses = SetCriterion(CLASSES, "cross_entropy")(detections, make_targets(3, 1))
    assert losses["cardinality_error"].item() == (2 + 1) / 2


# Proposals


def test_proposals_are_judged_as_objects_of_class_zero():
    detections, targets = make_detections(encoder=True), make_targets(3, 1)
    proposals = detections.encoder
    assert proposals is not None
    losses = SetCriterion(CLASSES)(detections, targets)
    objects = [{**target, "labels": torch.zeros_like(target["labels"])} for target in targets]
    alone = [
        SetCriterion(CLASSES)(only(logits[valid][None], boxes[valid][None]), [target])
        for logits, boxes, valid, target in zip(*proposals, objects, strict=True)
    ]
    for part in PARTS:  # two images with 3 objects and 1
        assert_close(losses[f"{part}_encoder"], (3 * alone[0][part] + alone[1][part]) / 4)


def test_tokens_that_are_no_proposals_add_no_loss_no_gradient_and_are_never_matched():
    detections, targets = make_detections(encoder=True), make_targets(3, 9)
    proposals = detections.encoder
    assert proposals is not None
    outside = ~proposals.valid
    better = proposals.boxes.detach().clone()
    better[:, :2] = targets[0]["boxes"][0]
    forbidden = proposals.valid.clone()
    forbidden[:, :2] = False
    tempting = Proposals(
        proposals.logits.detach().masked_fill(~forbidden[..., None], -100).requires_grad_(),
        better.requires_grad_(),
        forbidden,
    )
    criterion = SetCriterion(CLASSES)
    for stage, unused in ((proposals, outside), (tempting, ~forbidden)):
        losses = criterion(detections._replace(encoder=stage), targets)
        encoder_only = {name: value for name, value in losses.items() if name.endswith("_encoder")}
        gradients = torch.autograd.grad(criterion.total(encoder_only), (stage.logits, stage.boxes))
        for gradient in gradients:
            assert torch.isfinite(gradient).all()
            assert (gradient[unused] == 0).all()
            assert (gradient[~unused] != 0).any()


def test_no_valid_proposal_at_all_is_finite():
    detections = make_detections(encoder=True)
    proposals = Proposals(
        torch.full((B, S, CLASSES), -100.0), torch.ones(B, S, 4), torch.zeros(B, S, dtype=torch.bool)
    )
    losses = SetCriterion(CLASSES)(detections._replace(encoder=proposals), make_targets(3, 1))
    assert [losses[f"{part}_encoder"].item() for part in PARTS] == [0, 0, 0]


# Precision


@KINDS
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_detections_give_float32_losses_and_finite_gradients(loss, dtype):
    """Mistake 62: losses computed in half precision."""
    detections, targets = make_detections(loss, layers=1), make_targets(3, 1)
    logits = (detections.logits.detach() * 20).to(dtype).requires_grad_()
    boxes = detections.boxes.detach().to(dtype).requires_grad_()
    criterion = SetCriterion(CLASSES, loss)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        losses = criterion(only(logits, boxes, detections.background_class), targets)
        total = criterion.total(losses)
    exact = criterion(only(logits.double(), boxes.double(), detections.background_class), targets)
    for name in PARTS:
        assert losses[name].dtype == torch.float32
        assert exact[name].dtype == torch.float64
        assert_close(losses[name].double(), exact[name], rtol=1e-5, atol=1e-6)
    assert total.dtype == torch.float32
    for gradient in torch.autograd.grad(total, (logits, boxes)):
        assert gradient.dtype == dtype
        assert torch.isfinite(gradient).all()


@KINDS
def test_autocast_does_not_reach_the_losses(loss, monkeypatch):
    """Mistake 62: mixed precision lowers the precision of the losses."""
    states = []

    def watched(boxes: torch.Tensor, others: torch.Tensor) -> torch.Tensor:
        states.append(torch.is_autocast_enabled("cpu"))
        return paired_giou(boxes, others)

    monkeypatch.setattr(losses_module, "paired_giou", watched)
    detections, targets = make_detections(loss), make_targets(3, 1)
    outside = SetCriterion(CLASSES, loss)(detections, targets)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = SetCriterion(CLASSES, loss)(detections, targets)
    assert states == [False] * 2 * LAYERS
    assert all(torch.equal(inside[name], outside[name]) for name in outside)


@pytest.mark.parametrize("size", [0.0, 1e-8])
def test_boxes_without_area_give_finite_losses_and_gradients(size):
    """Mistake 57: 0 / 0 in the overlap of degenerate boxes."""
    boxes = torch.tensor([[[0.5, 0.5, size, size]] * 3], requires_grad=True)
    targets = [{"labels": torch.tensor([0, 1]), "boxes": boxes.detach()[0, :2]}]
    criterion = SetCriterion(CLASSES)
    total = criterion.total(criterion(only(torch.zeros(1, 3, CLASSES), boxes), targets))
    (gradient,) = torch.autograd.grad(total, boxes)
    assert torch.isfinite(total)
    assert torch.isfinite(gradient).all()


@KINDS
def test_gradients_of_the_total_are_those_of_finite_differences(loss):
    detections, targets = make_detections(loss, layers=1), make_targets(3, 1)
    criterion = SetCriterion(CLASSES, loss)
    double = [{**target, "boxes": target["boxes"].double()} for target in targets]

    def total(logits: torch.Tensor, boxes: torch.Tensor) -> torch.Tensor:
        return criterion.total(criterion(only(logits, boxes, detections.background_class), double))

    numbers = (detections.logits.detach().double(), detections.boxes.detach().double())
    assert torch.autograd.gradcheck(total, [tensor.requires_grad_() for tensor in numbers], eps=1e-7)


def test_the_criterion_changes_nothing_that_it_gets():
    detections, targets = make_detections(encoder=True), make_targets(3, 1)
    given_tensors = [
        detections.logits,
        detections.boxes,
        *(value for target in targets for value in target.values()),
    ]
    before = [tensor.detach().clone() for tensor in given_tensors]
    SetCriterion(CLASSES)(detections, targets)
    assert all(torch.equal(*pair) for pair in zip(before, given_tensors, strict=True))


# Several processes

PROCESS = """
import sys, torch, torch.distributed as dist
from detr_tutorial.detections import Detections
from detr_tutorial.losses import SetCriterion
torch.set_num_threads(1)
rank, store = int(sys.argv[1]), sys.argv[2]
dist.init_process_group("gloo", init_method="file://" + store, rank=rank, world_size=2)
saved = torch.load(sys.argv[3])
logits = saved["logits"][rank : rank + 1].requires_grad_()
boxes = saved["boxes"][rank : rank + 1].requires_grad_()
criterion = SetCriterion(saved["classes"])
losses = criterion(Detections(logits, boxes, []), saved["targets"][rank : rank + 1])
gradients = torch.autograd.grad(criterion.total(losses), (logits, boxes))
torch.save([gradient / 2 for gradient in gradients], store + f".{rank}")  # the mean over processes, as in DDP
dist.destroy_process_group()
"""


def test_two_processes_give_the_gradients_of_one_with_both_images(tmp_path):
    """Mistake 55: each process divides by its own number of objects."""
    detections, targets = make_detections(layers=1), make_targets(5, 1)
    saved = {"logits": detections.logits.detach(), "boxes": detections.boxes.detach()}
    torch.save({**saved, "targets": targets, "classes": CLASSES}, tmp_path / "batch.pt")
    command = [sys.executable, "-c", textwrap.dedent(PROCESS)]
    running = [
        subprocess.Popen(
            [*command, str(rank), str(tmp_path / "store"), str(tmp_path / "batch.pt")],
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    try:
        for process in running:
            _, problems = process.communicate(timeout=120)
            assert process.returncode == 0, problems
    finally:
        for process in running:
            process.kill()
    criterion = SetCriterion(CLASSES)
    total = criterion.total(criterion(detections, targets))
    expected = torch.autograd.grad(total, (detections.logits, detections.boxes))
    found = [torch.load(tmp_path / f"store.{rank}") for rank in range(2)]
    for whole, *parts in zip(expected, *found, strict=True):
        assert_close(torch.cat(parts), whole)
