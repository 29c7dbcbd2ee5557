"""Checks for notebooks/17_matching_and_losses.ipynb: the class loss of an image, and its two box losses.

Each check is a slow reference made of loops, random inputs, and the mistakes people make, every one with the
sentence that names it.
"""

import math
from collections.abc import Callable

import torch
from hypothesis import strategies as st
from torch import Tensor

from detr_tutorial.checks._check import Check, tensors

ALPHA, GAMMA = 0.25, 2.0

# ---------------------------------------------------------------- the class loss


def class_loss_by_loops(logits: Tensor, queries: Tensor, labels: Tensor, num_boxes: float) -> Tensor:
    """The focal loss of every logit, added up and divided by the number of objects."""
    yes = set(zip(queries.tolist(), labels.tolist(), strict=True))
    total = 0.0
    for query, row in enumerate(logits.tolist()):
        for label, logit in enumerate(row):
            p = 1 / (1 + math.exp(-logit))
            if (query, label) in yes:
                total += ALPHA * (1 - p) ** GAMMA * -math.log(p)
            else:
                total += (1 - ALPHA) * p**GAMMA * -math.log(1 - p)
    return torch.tensor(total / num_boxes)


ClassLoss = Callable[[Tensor, Tensor, Tensor, float], Tensor]


def _class_loss(
    *,
    alpha: float | None = ALPHA,
    discount: Callable[[Tensor], Tensor] = lambda right: (1 - right) ** GAMMA,
    negatives: str = "all",
    softmax: bool = False,
    reduce: Callable[[Tensor, Tensor, float], Tensor] = lambda loss, queries, boxes: loss.sum() / boxes,
) -> ClassLoss:
    """The right answer with one part replaced.

    Args:
        alpha: share of a yes; None leaves it out.
        discount: of a logit whose right answer has this probability.
        negatives: "all"; "none" leaves out every no; "first class" teaches idle queries class 0; "unmatched"
            leaves out the other classes of matched queries; "matched" leaves out the idle queries.
        softmax: over the classes instead of one sigmoid a class.
        reduce: makes one number of all losses.
    """

    def variant(logits: Tensor, queries: Tensor, labels: Tensor, num_boxes: float) -> Tensor:
        wanted = torch.zeros_like(logits)
        if negatives == "first class":
            wanted[:, 0] = 1
            wanted[queries] = 0
        wanted[queries, labels] = 1
        p = logits.softmax(-1) if softmax else logits.sigmoid()
        right = torch.where(wanted == 1, p, 1 - p)
        share = 1.0 if alpha is None else torch.where(wanted == 1, alpha, 1 - alpha)
        loss = share * discount(right) * -right.log()
        matched = torch.zeros(len(logits), dtype=torch.bool)
        matched[queries] = True
        kept = {
            "none": wanted == 1,
            "unmatched": (wanted == 1) | ~matched[:, None],
            "matched": matched[:, None],
        }
        if negatives in kept:
            loss = loss * kept[negatives]
        return reduce(loss, queries, num_boxes)

    return variant


CLASS_LOSS_MISTAKES = (
    (
        "you took the mean over all logits: add them up and divide by num_boxes, or objects count the less "
        "the more queries there are",
        _class_loss(reduce=lambda loss, queries, boxes: loss.mean()),
    ),
    (
        "you took the mean over the queries before dividing by num_boxes: the official code multiplies by "
        "their number afterwards",
        _class_loss(reduce=lambda loss, queries, boxes: loss.mean(0).sum() / boxes),
    ),
    (
        "you divided by the number of queries: divide by num_boxes",
        _class_loss(reduce=lambda loss, queries, boxes: loss.sum() / len(loss)),
    ),
    (
        "you divided by the number of pairs of this image: num_boxes belongs to the whole batch",
        _class_loss(reduce=lambda loss, queries, boxes: loss.sum() / max(len(queries), 1)),
    ),
    ("you did not divide by num_boxes", _class_loss(reduce=lambda loss, queries, boxes: loss.sum())),
    (
        "queries without an object learn to say class 0: they should say no to every class",
        _class_loss(negatives="first class"),
    ),
    (
        "you left out every no: all logits count, not only those of the pairs",
        _class_loss(negatives="none"),
    ),
    (
        "you left out the queries without an object: they learn to say no to every class",
        _class_loss(negatives="matched"),
    ),
    (
        "you left out the other classes of the matched queries: they learn to say no to those",
        _class_loss(negatives="unmatched"),
    ),
    ("you swapped the shares: a yes counts alpha = 0.25, a no 0.75", _class_loss(alpha=1 - ALPHA)),
    ("you left out alpha: a yes counts 0.25, a no 0.75", _class_loss(alpha=None)),
    (
        "you gave every answer the share 0.25: a no counts 0.75",
        _class_loss(alpha=0.5, reduce=lambda loss, queries, boxes: loss.sum() / 2 / boxes),
    ),
    (
        "you left out the discount (1 - p)^2 of easy answers: this is a weighted cross entropy",
        _class_loss(discount=torch.ones_like),
    ),
    (
        "you discounted hard answers: with p the probability of the right answer, it is (1 - p)^2, not p^2",
        _class_loss(discount=lambda right: right**GAMMA),
    ),
    ("the discount is squared: gamma is 2", _class_loss(discount=lambda right: 1 - right)),
    (
        "you used a softmax: every class has a sigmoid of its own, and there is no class for nothing",
        _class_loss(softmax=True),
    ),
)


@st.composite
def _class_inputs(draw: Callable) -> dict:
    """Logits (Q, classes) and the pairs; no pair is a case too, and num_boxes counts other images as well."""
    num_queries, classes = draw(st.integers(1, 4)), draw(st.integers(2, 3))
    count = draw(st.integers(0, num_queries))
    queries = sorted(draw(st.permutations(range(num_queries)))[:count])
    labels = [draw(st.integers(0, classes - 1)) for _ in range(count)]
    return {
        "logits": draw(tensors(num_queries, classes, low=-4, high=4, denominator=2)),
        "queries": torch.tensor(queries, dtype=torch.int64),
        "labels": torch.tensor(labels, dtype=torch.int64),
        "num_boxes": float(max(count, 1) + draw(st.integers(0, 3))),
    }


class_loss = Check(
    name="class_loss",
    reference=class_loss_by_loops,
    inputs=_class_inputs(),
    mistakes=CLASS_LOSS_MISTAKES,
    example={
        "logits": torch.tensor(
            [[-1.5, 0.5, -2.0], [-3.0, -2.0, -4.0], [1.0, -0.5, -2.5], [0.0, -1.0, 0.5], [-2.0, 1.0, -1.0]]
        ),
        "queries": torch.tensor([0, 4]),
        "labels": torch.tensor([2, 1]),
        "num_boxes": 6.0,
    },
)


# ---------------------------------------------------------------- the two box losses


def box_losses_by_loops(boxes: Tensor, objects: Tensor, num_boxes: float) -> tuple[Tensor, Tensor]:
    """The sum of absolute differences, and of 1 - GIoU, over the pairs, divided by the number of objects."""
    distance, giou_loss = 0.0, 0.0
    for box, other in zip(boxes.tolist(), objects.tolist(), strict=True):
        distance += sum(abs(one - two) for one, two in zip(box, other, strict=True))
        common, frame = 1.0, 1.0
        for axis in (0, 1):
            starts = [b[axis] - b[axis + 2] / 2 for b in (box, other)]
            ends = [b[axis] + b[axis + 2] / 2 for b in (box, other)]
            common *= max(min(ends) - max(starts), 0.0)
            frame *= max(ends) - min(starts)
        union = box[2] * box[3] + other[2] * other[3] - common
        giou_loss += 1 - (common / union - (frame - union) / frame)
    return torch.tensor(distance / num_boxes), torch.tensor(giou_loss / num_boxes)


BoxLosses = Callable[[Tensor, Tensor, float], tuple[Tensor, Tensor]]


def _as_corners(boxes: Tensor) -> Tensor:
    return torch.cat([boxes[:, :2] - boxes[:, 2:] / 2, boxes[:, :2] + boxes[:, 2:] / 2], dim=1)


def _box_losses(
    *,
    distance: Callable[[Tensor], Tensor] = lambda gap: gap.abs().sum(),
    to_corners: Callable[[Tensor], Tensor] = _as_corners,
    clamp: bool = True,
    overlap: Callable[[Tensor, Tensor, Tensor], Tensor] = lambda common, union, frame: (
        common / union - (frame - union) / frame
    ),
    loss_of: Callable[[Tensor], Tensor] = lambda giou: 1 - giou,
    count: Callable[[int, float], float] = lambda pairs, num_boxes: num_boxes,
) -> BoxLosses:
    """The right answer with one part replaced."""

    def variant(boxes: Tensor, objects: Tensor, num_boxes: float) -> tuple[Tensor, Tensor]:
        one, two = to_corners(boxes), to_corners(objects)
        inside = torch.minimum(one[:, 2:], two[:, 2:]) - torch.maximum(one[:, :2], two[:, :2])
        around = torch.maximum(one[:, 2:], two[:, 2:]) - torch.minimum(one[:, :2], two[:, :2])
        common = (inside.clamp(min=0) if clamp else inside).prod(1)
        areas = (one[:, 2:] - one[:, :2]).prod(1) + (two[:, 2:] - two[:, :2]).prod(1)
        value = overlap(common, areas - common, around.prod(1))
        divisor = count(len(boxes), num_boxes)
        return distance(boxes - objects) / divisor, loss_of(value).sum() / divisor

    return variant


BOX_LOSSES_MISTAKES = (
    (
        "you took the mean over the four numbers of a box: the L1 loss is their sum",
        _box_losses(distance=lambda gap: gap.abs().mean(1).sum()),
    ),
    (
        "you squared the differences: the L1 loss takes their absolute value",
        _box_losses(distance=lambda gap: (gap**2).sum()),
    ),
    (
        "you took the mean over the pairs of this image: divide by num_boxes, the objects of the whole batch",
        _box_losses(count=lambda pairs, num_boxes: max(pairs, 1)),
    ),
    ("you did not divide by num_boxes", _box_losses(count=lambda pairs, num_boxes: 1.0)),
    (
        "you computed the overlap on (cx, cy, w, h): areas and edges need corners",
        _box_losses(to_corners=lambda boxes: boxes),
    ),
    (
        "you subtracted the whole width and height from the center: a corner is half of them away",
        _box_losses(
            to_corners=lambda boxes: torch.cat([boxes[:, :2] - boxes[:, 2:], boxes[:, :2] + boxes[:, 2:]], 1)
        ),
    ),
    (
        "you swapped width and height: a box is (cx, cy, w, h)",
        _box_losses(to_corners=lambda boxes: _as_corners(boxes[:, [0, 1, 3, 2]])),
    ),
    (
        "you used the IoU: it has no slope where boxes lie apart, the loss is 1 - GIoU",
        _box_losses(overlap=lambda common, union, frame: common / union),
    ),
    (
        "you subtracted the part of the frame outside the common area: only what neither box covers counts, "
        "(frame - union) / frame",
        _box_losses(overlap=lambda common, union, frame: common / union - (frame - common) / frame),
    ),
    (
        "you divided the empty part by the union: it is a share of the frame",
        _box_losses(overlap=lambda common, union, frame: common / union - (frame - union) / union),
    ),
    (
        "you did not clamp: boxes apart along both axes have two negative sides, whose product is positive",
        _box_losses(clamp=False),
    ),
    ("you returned the GIoU: the loss is 1 - GIoU", _box_losses(loss_of=lambda giou: giou)),
    (
        "you returned minus the GIoU, which is the price of matching: the loss is 1 - GIoU",
        _box_losses(loss_of=lambda giou: -giou),
    ),
)


@st.composite
def _box_inputs(draw: Callable) -> dict:
    """Pairs of boxes with sides above 0, near or far; no pair is a case too."""
    count = draw(st.integers(0, 3))
    low = torch.tensor([0.0, 0.0, 0.125, 0.125])
    boxes, objects = (
        draw(tensors(count, 4, low=0, high=0.75, denominator=8, simplest=0.25)) + low for _ in range(2)
    )
    return {"boxes": boxes, "objects": objects, "num_boxes": float(max(count, 1) + draw(st.integers(0, 3)))}


box_losses = Check(
    name="box_losses",
    reference=box_losses_by_loops,
    inputs=_box_inputs(),
    mistakes=BOX_LOSSES_MISTAKES,
    example={
        "boxes": torch.tensor([[0.25, 0.5, 0.25, 0.375], [0.5, 0.5, 0.5, 0.25], [0.25, 0.25, 0.125, 0.25]]),
        "objects": torch.tensor(
            [[0.375, 0.5, 0.25, 0.5], [0.5, 0.5, 0.125, 0.125], [0.75, 0.875, 0.25, 0.125]]
        ),
        "num_boxes": 5.0,
    },
)
