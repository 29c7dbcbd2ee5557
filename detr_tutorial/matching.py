"""Which query answers for which object: the cheapest one-to-one assignment.

A cost is put on every pair of a query and an object of the same image: a wrong class, a box that is far away,
a box that does not overlap. The Hungarian algorithm then gives every object its own query, so that the sum
of the costs is as small as it can be. Taught in notebooks/17_matching_and_losses.ipynb.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import torch
import torch.nn.functional as F
from einops import rearrange, repeat
from jaxtyping import Bool, Float, Int64
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from detr_tutorial._targets import Target, at_least_float32, require_target, require_targets, require_weights
from detr_tutorial._validation import require_finite, require_tensor
from detr_tutorial.boxes import cxcywh_to_xyxy, paired_giou

# The focal form of the class cost: fixed, as in the official code, and the defaults of the focal loss.
FOCAL_ALPHA = 0.25
FOCAL_GAMMA = 2.0

Match = tuple[Int64[Tensor, "_"], Int64[Tensor, "_"]]  # queries and objects, one length


@dataclass(frozen=True)
class MatchCost:
    """How much each part of the matching cost weighs.

    The published values of Deformable DETR; DETR has `label=1`.

    Args:
        label: weight of the class cost.
        boxes: weight of the L1 distance of (cx, cy, w, h).
        giou: weight of the negative generalized overlap.
    Raises:
        TypeError, ValueError: if a weight is not a finite number of at least 0, or all are 0.
    Source: Deformable DETR (arXiv 2010.04159), appendix A.4, and the official `main.py`; taught in
    notebooks/17_matching_and_losses.ipynb.
    """

    label: int | float = 2.0
    boxes: int | float = 5.0
    giou: int | float = 2.0

    def __post_init__(self) -> None:
        require_weights("MatchCost", asdict(self))


def matching_cost(
    logits: Float[Tensor, "Q classes"],
    boxes: Float[Tensor, "Q 4"],
    target: Target,
    weights: MatchCost | None = None,
    background_class: bool = False,
) -> Float[Tensor, "Q n"]:
    """Price every pair of a query and an object of one image.

    The class part is the change of the focal loss of that logit when its target turns from 0 to 1 (alpha
    0.25, gamma 2), or, with a background class, minus the probability of the object's class. To it come the
    L1 distance of the boxes and minus their generalized overlap.

    Args:
        logits: (Q, classes), before sigmoid or softmax.
        boxes: (Q, 4) as (cx, cy, w, h) in [0, 1].
        target: "labels" (n,) int64 and "boxes" (n, 4) as (cx, cy, w, h) in [0, 1]; n may be 0.
        weights: of the three parts; `MatchCost()` when None.
        background_class: True where the logits go through a softmax and their last column is "no object".
    Returns:
        (Q, n), without gradient; at least float32, also under autocast.
    Raises:
        TypeError, ValueError: if an argument is not of that kind or shape, a label has no column, or a number
            is NaN or infinite.
    Source: DETR (arXiv 2005.12872), equation 1, and Deformable DETR's official `HungarianMatcher`; taught in
    notebooks/17_matching_and_losses.ipynb.
    """
    require_finite("logits", require_tensor("logits", logits, "Q classes"))
    require_finite("boxes", require_tensor("boxes", boxes, f"{len(logits)} 4"))
    require_target("target", target, logits.shape[1] - background_class, boxes.device)
    cost = _costs(logits[None], boxes[None], [target], weights or MatchCost(), background_class)
    return rearrange(require_finite("the matching cost", cost), "n Q -> Q n")


def hungarian_match(
    logits: Float[Tensor, "B Q classes"],
    boxes: Float[Tensor, "B Q 4"],
    targets: Sequence[Target],
    weights: MatchCost | None = None,
    background_class: bool = False,
    allowed: Bool[Tensor, "B Q"] | None = None,
) -> list[Match]:
    """Give every object of every image a query of its own, at the smallest total cost.

    Args:
        logits: (B, Q, classes), before sigmoid or softmax.
        boxes: (B, Q, 4) as (cx, cy, w, h) in [0, 1].
        targets: one an image, with "labels" (n,) int64 and "boxes" (n, 4) as (cx, cy, w, h) in [0, 1]; n
            differs from image to image and may be 0. Of more than Q objects, Q are matched.
        weights: of the parts of the cost; `MatchCost()` when None.
        background_class: True where the logits go through a softmax and their last column is "no object".
        allowed: False where a query must stay without an object (a proposal that is not valid).
    Returns:
        For every image two tensors of the same length on the CPU: the indices of the matched queries, in
        ascending order, and the index of the object that each of them got.
    Raises:
        TypeError, ValueError: if an argument is not of that kind or shape, a label has no column, or a number
            is NaN or infinite; the line names the image.
    Source: DETR (arXiv 2005.12872), equation 1, and Deformable DETR's official `HungarianMatcher`; taught in
    notebooks/17_matching_and_losses.ipynb.
    """
    require_tensor("logits", logits, "B Q classes")
    batch, queries, columns = logits.shape
    require_tensor("boxes", boxes, f"{batch} {queries} 4")
    if allowed is not None:
        require_tensor("allowed", allowed, f"{batch} {queries}", "bool")
    targets = require_targets(targets, batch, columns - background_class, boxes.device)
    _require_finite_images("logits", logits, [1] * batch)
    _require_finite_images("boxes", boxes, [1] * batch)
    costs = _costs(logits, boxes, targets, weights or MatchCost(), background_class).cpu()
    counts = [len(target["labels"]) for target in targets]
    _require_finite_images("the matching cost", costs, counts)
    choices = [None] * batch if allowed is None else allowed.cpu()
    return [_assign(cost, choice) for cost, choice in zip(costs.split(counts), choices, strict=True)]


@torch.no_grad()
def _costs(
    logits: Tensor, boxes: Tensor, targets: Sequence[Target], weights: MatchCost, background_class: bool
) -> Float[Tensor, "N Q"]:
    """Price every object of the batch, N together, with the Q queries of its own image."""
    logits, boxes = at_least_float32(logits), at_least_float32(boxes)
    device, queries = boxes.device, boxes.shape[1]
    counts = torch.tensor([len(target["labels"]) for target in targets], device=device)
    image = torch.arange(len(targets), device=device).repeat_interleave(counts)  # N
    labels = torch.cat([target["labels"] for target in targets])
    objects = torch.cat([target["boxes"] for target in targets]).to(boxes.dtype)
    with torch.autocast(device.type, enabled=False):
        if background_class:
            label_cost = -logits.softmax(dim=-1)[image, :, labels]
        else:
            chosen = logits[image, :, labels]  # N Q
            probability = chosen.sigmoid()
            as_object = FOCAL_ALPHA * (1 - probability) ** FOCAL_GAMMA * F.softplus(-chosen)  # -log p
            as_nothing = (1 - FOCAL_ALPHA) * probability**FOCAL_GAMMA * F.softplus(chosen)  # -log (1 - p)
            label_cost = as_object - as_nothing
        found = rearrange(boxes[image], "N Q box -> (N Q) box")
        wanted = repeat(objects, "N box -> (N Q) box", Q=queries)
        distance = (found - wanted).abs().sum(dim=-1)
        overlap = paired_giou(cxcywh_to_xyxy(found), cxcywh_to_xyxy(wanted))
        box_cost = rearrange(
            weights.boxes * distance - weights.giou * overlap, "(N Q) -> N Q", N=len(labels), Q=queries
        )
        return weights.label * label_cost + box_cost


def _assign(cost: Float[Tensor, "n Q"], allowed: Bool[Tensor, "Q"] | None) -> Match:
    candidates = torch.arange(cost.shape[1]) if allowed is None else allowed.nonzero()[:, 0]
    rows, columns = linear_sum_assignment(rearrange(cost, "n Q -> Q n")[candidates])
    return candidates[torch.from_numpy(rows)], torch.from_numpy(columns)


def _require_finite_images(name: str, tensor: Tensor, counts: Sequence[int]) -> None:
    """Demand finite numbers; only where one is not, look which image it belongs to."""
    if not torch.isfinite(tensor).all():
        for image, part in enumerate(tensor.split(counts)):
            require_finite(f"{name} of image {image}", part)
