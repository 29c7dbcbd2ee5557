"""Matching, losses and post-processing against transformers, torchvision and scipy."""

import itertools
from types import SimpleNamespace

import pytest
import torch
import torchvision.ops
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment
from torch.testing import assert_close
from transformers import DeformableDetrImageProcessor, DetrImageProcessor
from transformers.loss.loss_deformable_detr import (
    DeformableDetrForObjectDetectionLoss,
    DeformableDetrHungarianMatcher,
    DeformableDetrImageLoss,
)
from transformers.loss.loss_for_object_detection import ForObjectDetectionLoss, HungarianMatcher

from detr_tutorial.boxes import cxcywh_to_xyxy, paired_giou
from detr_tutorial.detections import Detections, LayerDetections, Proposals
from detr_tutorial.inference import postprocess
from detr_tutorial.losses import LossWeights, SetCriterion, sigmoid_focal_loss
from detr_tutorial.matching import MatchCost, hungarian_match, matching_cost

FEW = settings(deadline=None, derandomize=True, max_examples=25, database=None)
B, Q, S, CLASSES, LAYERS = 3, 11, 17, 5, 4
KINDS = pytest.mark.parametrize("loss", ["focal", "cross_entropy"])
THEIR_NAMES = {"labels": "loss_ce", "boxes": "loss_bbox", "giou": "loss_giou"}


def random_boxes(*sizes: int, generator: torch.Generator) -> torch.Tensor:
    size = 0.02 + 0.8 * torch.rand(*sizes, 2, generator=generator, dtype=torch.float64)
    center = size / 2 + torch.rand(*sizes, 2, generator=generator, dtype=torch.float64) * (1 - size)
    return torch.cat([center, size], dim=-1)


def random_batch(loss: str, counts: list[int], seed: int = 0, layers: int = LAYERS):
    """Return detections with several layers in float64, our targets, and theirs."""
    generator = torch.Generator().manual_seed(seed)
    columns = CLASSES + (loss == "cross_entropy")
    found = [
        LayerDetections(
            (
                2 * torch.randn(len(counts), Q, columns, generator=generator, dtype=torch.float64)
            ).requires_grad_(),
            random_boxes(len(counts), Q, generator=generator).requires_grad_(),
        )
        for _ in range(layers)
    ]
    targets = [
        {
            "labels": torch.randint(CLASSES, (count,), generator=generator),
            "boxes": random_boxes(count, generator=generator),
        }
        for count in counts
    ]
    theirs = [{"class_labels": target["labels"], "boxes": target["boxes"]} for target in targets]
    detections = Detections(*found[-1], found[:-1], background_class=loss == "cross_entropy")
    return detections, targets, theirs


def outputs_of(layer: Detections | LayerDetections | Proposals) -> dict[str, torch.Tensor]:
    return {"logits": layer.logits, "pred_boxes": layer.boxes}


@FEW
@given(st.lists(st.integers(0, 15), min_size=1, max_size=4), st.booleans(), st.integers(0, 10_000))
def test_matches_are_those_of_transformers(counts, background, seed):
    loss = "cross_entropy" if background else "focal"
    detections, targets, theirs = random_batch(loss, counts, seed, layers=1)
    matcher = (HungarianMatcher if background else DeformableDetrHungarianMatcher)(2, 5, 2)
    ours = hungarian_match(detections.logits, detections.boxes, targets, MatchCost(), background)
    for (queries, objects), expected in zip(ours, matcher(outputs_of(detections), theirs), strict=True):
        assert torch.equal(queries, expected[0])
        assert torch.equal(objects, expected[1])


@FEW
@given(st.integers(0, 15), st.integers(0, 10_000))
def test_assignments_are_those_of_scipy_on_our_cost(count, seed):
    detections, targets, _ = random_batch("focal", [count], seed, layers=1)
    cost = matching_cost(detections.logits[0], detections.boxes[0], targets[0])
    rows, columns = linear_sum_assignment(cost.numpy())
    ((queries, objects),) = hungarian_match(detections.logits, detections.boxes, targets)
    assert queries.tolist() == rows.tolist()
    assert objects.tolist() == columns.tolist()


@pytest.mark.parametrize(("alpha", "gamma"), [(0.25, 2.0), (0.6, 1.5)])
def test_the_focal_loss_is_that_of_torchvision(alpha, gamma):
    generator = torch.Generator().manual_seed(0)
    logits = (4 * torch.randn(3, 7, 5, generator=generator, dtype=torch.float64)).requires_grad_()
    targets = (torch.rand(3, 7, 5, generator=generator) > 0.7).double()
    ours = sigmoid_focal_loss(logits, targets, alpha, gamma)
    theirs = torchvision.ops.sigmoid_focal_loss(logits, targets, alpha, gamma)
    assert_close(ours, theirs)
    assert_close(*(torch.autograd.grad(loss.sum(), logits)[0] for loss in (ours, theirs)))


def test_the_overlap_loss_is_that_of_torchvision():
    generator = torch.Generator().manual_seed(0)
    some = random_boxes(9, generator=generator).requires_grad_()
    others = random_boxes(9, generator=generator)
    ours = 1 - paired_giou(cxcywh_to_xyxy(some), cxcywh_to_xyxy(others))
    theirs = torchvision.ops.generalized_box_iou_loss(cxcywh_to_xyxy(some), cxcywh_to_xyxy(others))
    assert_close(ours, theirs)
    assert_close(*(torch.autograd.grad(loss.sum(), some)[0] for loss in (ours, theirs)), atol=1e-6, rtol=1e-6)


@pytest.fixture
def double_by_default():
    """The class weights of transformers' cross entropy have the default precision."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@KINDS
@pytest.mark.usefixtures("double_by_default")
@pytest.mark.parametrize("counts", [[3, 0, 5], [1, 14, 2], [0, 0, 0]], ids=str)
def test_losses_and_gradients_of_all_layers_are_those_of_transformers(loss, counts):
    """transformers weighs the class loss and the class cost with 1 where the official code has 2."""
    detections, targets, theirs = random_batch(loss, counts)
    config = SimpleNamespace(
        class_cost=1,
        bbox_cost=5,
        giou_cost=2,
        num_labels=CLASSES,
        focal_alpha=0.25,
        eos_coefficient=0.1,
        auxiliary_loss=True,
        bbox_loss_coefficient=5,
        giou_loss_coefficient=2,
        decoder_layers=LAYERS,
    )
    layers = [*detections.auxiliary, LayerDetections(detections.logits, detections.boxes)]
    function = DeformableDetrForObjectDetectionLoss if loss == "focal" else ForObjectDetectionLoss
    total, their_losses, _ = function(
        detections.logits,
        theirs,
        "cpu",
        detections.boxes,
        config,
        torch.stack([layer.logits for layer in layers]),
        torch.stack([layer.boxes for layer in layers]),
    )
    criterion = SetCriterion(CLASSES, loss, LossWeights(labels=1), MatchCost(label=1))
    losses = criterion(detections, targets)
    suffixes = ["", *(f"_{index}" for index in range(LAYERS - 1))]
    for suffix, (part, name) in itertools.product(suffixes, THEIR_NAMES.items()):
        assert_close(losses[part + suffix], their_losses[name + suffix].double(), msg=part + suffix)
    assert_close(losses["cardinality_error"], their_losses["cardinality_error"])
    assert_close(criterion.total(losses), total)
    assert isinstance(total, torch.Tensor)
    inputs = [tensor for layer in layers for tensor in layer]
    ours = torch.autograd.grad(criterion.total(losses), inputs)
    for our_gradient, their_gradient in zip(ours, torch.autograd.grad(total, inputs), strict=True):
        assert_close(our_gradient, their_gradient, rtol=1e-6, atol=1e-10)


def test_losses_of_the_proposals_are_those_of_the_official_form():
    """All labels 0, the same criterion over all columns; transformers' class for it, proposals all valid."""
    detections, targets, _ = random_batch("focal", [3, 0, 5])
    generator = torch.Generator().manual_seed(5)
    proposals = Proposals(
        torch.randn(B, S, CLASSES, generator=generator, dtype=torch.float64),
        random_boxes(B, S, generator=generator),
        torch.ones(B, S, dtype=torch.bool),
    )
    binary = [
        {"class_labels": torch.zeros_like(target["labels"]), "boxes": target["boxes"]} for target in targets
    ]
    matcher = DeformableDetrHungarianMatcher(2, 5, 2)
    expected = DeformableDetrImageLoss(matcher, CLASSES, 0.25, ["labels", "boxes"])(
        outputs_of(proposals), binary
    )
    losses = SetCriterion(CLASSES)(detections._replace(encoder=proposals), targets)
    for part, name in THEIR_NAMES.items():
        assert_close(losses[f"{part}_encoder"], expected[name])


@pytest.mark.parametrize("top_k", [1, 8, 100])
def test_post_processing_of_a_sigmoid_head_is_that_of_transformers(top_k):
    detections, _, _ = random_batch("focal", [0] * B, layers=1)
    sizes = [(480, 640), (33, 21), (100, 1000)]
    outputs = SimpleNamespace(logits=detections.logits, pred_boxes=detections.boxes)
    theirs = DeformableDetrImageProcessor().post_process_object_detection(outputs, 0.0, sizes, top_k)
    for found, expected in zip(postprocess(detections, sizes, top_k), theirs, strict=True):
        assert_close(found, expected)


def test_post_processing_with_a_background_class_is_that_of_transformers():
    """transformers keeps the order of the queries, we sort by score."""
    detections, _, _ = random_batch("cross_entropy", [0] * B, layers=1)
    sizes = [(480, 640), (33, 21), (100, 1000)]
    outputs = SimpleNamespace(logits=detections.logits, pred_boxes=detections.boxes)
    theirs = DetrImageProcessor().post_process_object_detection(outputs, 0.0, sizes)
    for found, expected in zip(postprocess(detections, sizes), theirs, strict=True):
        order = expected["scores"].argsort(descending=True)
        assert_close(found, {key: value[order] for key, value in expected.items()})
