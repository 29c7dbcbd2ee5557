"""What training minimizes: a class loss over all queries, and two box losses over the matched ones.

Every decoder layer is matched and judged for itself, and so are the proposals of a two-stage model. All sums
are divided by the number of objects in the batch. Taught in notebooks/17_matching_and_losses.ipynb.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import torch
import torch.distributed
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn

from detr_tutorial._targets import Target, at_least_float32, require_targets, require_weights
from detr_tutorial._validation import require_int, require_number, require_tensor
from detr_tutorial.boxes import cxcywh_to_xyxy, paired_giou
from detr_tutorial.detections import Detections, LayerDetections, all_layers
from detr_tutorial.matching import FOCAL_ALPHA, FOCAL_GAMMA, Match, MatchCost, hungarian_match

Losses = dict[str, Float[Tensor, ""]]

LOG_ONLY = ("cardinality_error",)  # numbers to watch: no gradient, no part of the total
_WEIGHTED = re.compile(r"(labels|boxes|giou)(_\d+|_encoder)?")


@dataclass(frozen=True)
class LossWeights:
    """How much each part of the loss counts, the same in every decoder layer and for the proposals.

    The published values of Deformable DETR; DETR has `labels=1`.

    Args:
        labels: weight of the class loss.
        boxes: weight of the L1 distance of (cx, cy, w, h).
        giou: weight of one minus the generalized overlap.
    Raises:
        TypeError, ValueError: if a weight is not a finite number of at least 0, or all are 0.
    Source: Deformable DETR (arXiv 2010.04159), appendix A.4, and the official `main.py`; taught in
    notebooks/17_matching_and_losses.ipynb.
    """

    labels: int | float = 2.0
    boxes: int | float = 5.0
    giou: int | float = 2.0

    def __post_init__(self) -> None:
        require_weights("LossWeights", asdict(self))


def sigmoid_focal_loss(
    logits: Float[Tensor, "*shape"],
    targets: Float[Tensor, "*shape"],
    alpha: int | float = FOCAL_ALPHA,
    gamma: int | float = FOCAL_GAMMA,
) -> Float[Tensor, "*shape"]:
    """Judge every logit for itself by binary cross entropy, and let easy ones count little.

    With p the probability of the right answer: -(1 - p)^gamma log(p), times alpha where the target is 1, and
    times 1 - alpha where it is 0.

    Args:
        logits: any shape, before the sigmoid.
        targets: of the same shape, 0 or 1.
        alpha: share of the targets that are 1, in [0, 1].
        gamma: how fast the loss of an easy logit falls, at least 0.
    Returns:
        The loss of every logit, of the same shape, not summed; at least float32.
    Raises:
        TypeError, ValueError: if the two are not floating point tensors of one shape, `alpha` lies outside
            [0, 1], or `gamma` is negative.
    Source: Focal Loss (arXiv 1708.02002), equation 5; Deformable DETR's official `sigmoid_focal_loss` has the
    mean over the queries in it; taught in notebooks/17_matching_and_losses.ipynb.
    """
    require_tensor("logits", logits, "...")
    require_tensor("targets", targets, "...")
    if logits.shape != targets.shape:
        raise ValueError(f"targets must have shape {tuple(logits.shape)}, got {tuple(targets.shape)}")
    alpha, gamma = _require_focal(alpha, gamma)
    with torch.autocast(logits.device.type, enabled=False):
        logits = at_least_float32(logits)
        targets = targets.to(logits.dtype)
        cross_entropy = F.binary_cross_entropy_with_logits(logits, targets, reduction="none")
        probability = logits.sigmoid()
        wrong = probability + targets - 2 * probability * targets  # 1 - p of the right answer
        balance = (1 - alpha) + (2 * alpha - 1) * targets
        return balance * wrong**gamma * cross_entropy


class SetCriterion(nn.Module):
    """Match, then judge: every decoder layer for itself, and the proposals of a two-stage model.

    Losses are computed in float32 under autocast, and are sums over images divided by the number of objects
    in the batch, averaged over processes and at least 1. Only the cross entropy is a mean over all queries,
    as in DETR.

    Args:
        num_classes: classes without the background; the largest label is `num_classes` - 1.
        loss: "focal" for one sigmoid a class (Deformable DETR), "cross_entropy" for a softmax with a
            background class as last column (DETR).
        weights: of the parts of the loss; when None, the published ones, with labels 2 (focal) or 1.
        match_cost: of the parts of the matching cost; when None, the published ones, with label 2 or 1.
        eos_coef: weight of the background class in the cross entropy.
        alpha: share of the positive targets in the focal loss. The matching cost keeps 0.25.
        gamma: how fast the focal loss of an easy logit falls. The matching cost keeps 2.
    Raises:
        TypeError, ValueError: if an argument is not of that kind or range.
    Source: DETR (arXiv 2005.12872), section 3.1, and the official `SetCriterion` of both papers; taught in
    notebooks/17_matching_and_losses.ipynb.
    """

    def __init__(
        self,
        num_classes: int,
        loss: Literal["focal", "cross_entropy"] = "focal",
        weights: LossWeights | None = None,
        match_cost: MatchCost | None = None,
        eos_coef: int | float = 0.1,
        alpha: int | float = FOCAL_ALPHA,
        gamma: int | float = FOCAL_GAMMA,
    ) -> None:
        super().__init__()
        if loss not in ("focal", "cross_entropy"):
            raise ValueError(f"loss must be 'focal' or 'cross_entropy', got {loss!r}")
        label_weight = 2.0 if loss == "focal" else 1.0
        self.num_classes = require_int("num_classes", num_classes)
        self.loss = loss
        self.weights = weights or LossWeights(labels=label_weight)
        self.match_cost = match_cost or MatchCost(label=label_weight)
        self.eos_coef = require_number("eos_coef", eos_coef, above=0)
        self.alpha, self.gamma = _require_focal(alpha, gamma)

    def forward(self, detections: Detections, targets: Sequence[Target]) -> Losses:
        """Compute every loss by name.

        Args:
            detections: what the model returned.
            targets: one an image, with "labels" (n,) int64 in [0, num_classes) and "boxes" (n, 4) as
                (cx, cy, w, h) in [0, 1]; n may be 0.
        Returns:
            Scalars, not yet weighted: "labels", "boxes" and "giou" of the last decoder layer; the same with
            "_0", "_1", ... of the earlier layers and with "_encoder" of the proposals; and to watch only,
            without gradient, "cardinality_error": how far the number of detections in an image is from
            its number of objects, on average.
        Raises:
            TypeError, ValueError: if detections do not fit `loss` or `num_classes`, hold NaN or infinity (the
                line names the layer), or a target is not of that kind (the line names the image).
        """
        layers = self._require_layers(detections)
        targets = require_targets(targets, len(detections.logits), self.num_classes, detections.boxes.device)
        num_boxes = _count_boxes(targets, detections.boxes.device)
        losses: Losses = {}
        for index, layer in enumerate(layers):
            suffix = "" if index == len(layers) - 1 else f"_{index}"
            losses |= self._judge(layer, targets, num_boxes, suffix)
        if (proposals := detections.encoder) is not None:
            objects: list[Target] = [
                {"labels": torch.zeros_like(target["labels"]), "boxes": target["boxes"]} for target in targets
            ]
            layer = LayerDetections(proposals.logits, proposals.boxes)
            losses |= self._judge(layer, objects, num_boxes, "_encoder", allowed=proposals.valid)
        losses["cardinality_error"] = self._cardinality_error(layers[-1], targets)
        return losses

    def total(self, losses: Mapping[str, Float[Tensor, ""]]) -> Float[Tensor, ""]:
        """Add up what `forward` returned, weighted.

        Args:
            losses: scalars by name.
        Returns:
            The weighted sum, a scalar to call `backward` on.
        Raises:
            ValueError: if there is no loss, or a name is neither weighted nor listed in `LOG_ONLY`: a loss is
                never left out in silence.
        """
        weights = asdict(self.weights)
        parts = []
        for name, loss in losses.items():
            if name in LOG_ONLY:
                continue
            known = _WEIGHTED.fullmatch(name)
            if known is None:
                raise ValueError(
                    f"losses hold {name!r}, which has no weight ({', '.join(weights)}, each also with _0, "
                    f"_1, ..., _encoder) and is not log-only ({', '.join(LOG_ONLY)})"
                )
            parts.append(weights[known[1]] * loss)
        if not parts:
            raise ValueError(f"losses must hold at least one weighted loss, got {list(losses)}")
        return torch.stack(parts).sum()

    def extra_repr(self) -> str:
        return f"num_classes={self.num_classes}, loss={self.loss!r}, weights={self.weights}"

    def _judge(
        self,
        layer: LayerDetections,
        targets: list[Target],
        num_boxes: Float[Tensor, ""],
        suffix: str,
        allowed: Bool[Tensor, "B Q"] | None = None,
    ) -> Losses:
        background_class = self.loss == "cross_entropy"
        logits, boxes = at_least_float32(layer.logits), at_least_float32(layer.boxes)
        matches = hungarian_match(logits, boxes, targets, self.match_cost, background_class, allowed)
        images, queries, labels, target_boxes = _matched(matches, targets, boxes)
        with torch.autocast(boxes.device.type, enabled=False):
            if background_class:
                labels_loss = self._cross_entropy(logits, images, queries, labels)
            else:
                wanted = torch.zeros_like(logits)
                wanted[images, queries, labels] = 1  # queries without an object want 0 in every class
                labels_loss = sigmoid_focal_loss(logits, wanted, self.alpha, self.gamma).sum() / num_boxes
            matched_boxes = boxes[images, queries]
            overlap = paired_giou(cxcywh_to_xyxy(matched_boxes), cxcywh_to_xyxy(target_boxes))
            return {
                f"labels{suffix}": labels_loss,
                f"boxes{suffix}": F.l1_loss(matched_boxes, target_boxes, reduction="sum") / num_boxes,
                f"giou{suffix}": (1 - overlap).sum() / num_boxes,
            }

    def _cross_entropy(self, logits: Tensor, images: Tensor, queries: Tensor, labels: Tensor) -> Tensor:
        wanted = torch.full(logits.shape[:2], self.num_classes, device=logits.device)  # B Q, all background
        wanted[images, queries] = labels
        class_weights = logits.new_ones(self.num_classes + 1)
        class_weights[-1] = self.eos_coef
        return F.cross_entropy(logits.flatten(0, 1), wanted.flatten(), class_weights)

    def _cardinality_error(self, layer: LayerDetections, targets: list[Target]) -> Tensor:
        if self.loss == "cross_entropy":
            detected = layer.logits.argmax(dim=-1) != self.num_classes
        else:
            detected = layer.logits.amax(dim=-1) > 0  # a probability above 0.5
        objects = detected.new_tensor([len(target["labels"]) for target in targets], dtype=torch.float32)
        return (detected.sum(dim=1) - objects).abs().mean()

    def _require_layers(self, detections: Detections) -> list[LayerDetections]:
        layers = all_layers(detections)
        columns = self.num_classes
        if self.loss == "cross_entropy":
            columns += 1
        if detections.background_class != (self.loss == "cross_entropy"):
            raise ValueError(
                f"loss={self.loss!r} does not fit detections with background_class="
                f"{detections.background_class}: 'focal' is for one sigmoid a class, "
                "'cross_entropy' for a softmax with a background class"
            )
        require_tensor("detections.logits", detections.logits, "B Q classes")
        batch, queries, _ = detections.logits.shape
        for index, layer in enumerate(layers):
            _require_detections(f"decoder layer {index}", layer, (batch, queries, columns))
        if (proposals := detections.encoder) is not None:
            if self.loss == "cross_entropy":
                raise ValueError("loss='cross_entropy' does not fit detections with proposals: use 'focal'")
            tokens = require_tensor("encoder proposals: valid", proposals.valid, "B S", "bool").shape[1]
            layer = LayerDetections(proposals.logits, proposals.boxes)
            _require_detections("encoder proposals", layer, (batch, tokens, columns))
        return layers


def _require_detections(name: str, layer: LayerDetections, sizes: tuple[int, int, int]) -> None:
    """Demand finite logits and boxes with the sizes (batch, queries, columns), and no negative width."""
    batch, queries, columns = sizes
    require_tensor(f"{name}: logits", layer.logits, f"{batch} {queries} classes")
    if layer.logits.shape[2] != columns:
        raise ValueError(f"{name}: logits have {layer.logits.shape[2]} columns, expected {columns}")
    require_tensor(f"{name}: boxes", layer.boxes, f"{batch} {queries} 4")
    for part, tensor in layer._asdict().items():
        low, high = torch.aminmax(tensor.detach())
        if torch.isnan(low):  # any NaN shows here
            raise ValueError(f"{name}: {part} hold NaN ({_count(tensor.isnan())})")
        if torch.isinf(low) or torch.isinf(high):
            raise ValueError(f"{name}: {part} hold infinity ({_count(tensor.isinf())})")
        if part == "boxes" and low < 0 and (tensor[..., 2:] < 0).any():
            raise ValueError(f"{name}: boxes hold a negative width or height; they must be (cx, cy, w, h)")


def _count(flags: Tensor) -> str:
    return f"{int(flags.sum())} of {flags.numel()} values"


def _require_focal(alpha: Any, gamma: Any) -> tuple[float, float]:
    if not 0 <= require_number("alpha", alpha) <= 1:
        raise ValueError(f"alpha must lie in [0, 1], got {alpha}")
    if require_number("gamma", gamma) < 0:
        raise ValueError(f"gamma must be at least 0, got {gamma}")
    return float(alpha), float(gamma)


def _count_boxes(targets: list[Target], device: torch.device) -> Float[Tensor, ""]:
    """Count the objects of the batch, on average over the processes, and at least 1."""
    count = torch.tensor(float(sum(len(target["labels"]) for target in targets)), device=device)
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.all_reduce(count)
        count = count / torch.distributed.get_world_size()
    return count.clamp(min=1)


def _matched(
    matches: list[Match], targets: list[Target], boxes: Float[Tensor, "B Q 4"]
) -> tuple[
    Int64[Tensor, "matched"], Int64[Tensor, "matched"], Int64[Tensor, "matched"], Float[Tensor, "matched 4"]
]:
    """List the matched pairs of all images: image, query, label and box of the object."""
    device = boxes.device
    images = torch.cat([torch.full_like(queries, image) for image, (queries, _) in enumerate(matches)])
    queries = torch.cat([queries for queries, _ in matches])
    pairs = [(target, found.to(device)) for target, (_, found) in zip(targets, matches, strict=True)]
    labels = torch.cat([target["labels"][found] for target, found in pairs])
    target_boxes = torch.cat([target["boxes"][found] for target, found in pairs])
    return images.to(device), queries.to(device), labels, target_boxes.to(boxes.dtype)
