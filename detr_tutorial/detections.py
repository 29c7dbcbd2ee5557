"""What a detector answers: class scores and boxes, and on request how it came to them.

Both models of the package, DETR and Deformable DETR, return `Detections`; the losses and the post-processing
read it. Taught in notebooks/05_detr.ipynb and notebooks/15_box_refinement.ipynb.
"""

from typing import Any, NamedTuple

from jaxtyping import Bool, Float
from torch import Tensor

from detr_tutorial.deformable_attention import SamplingRecord


class LayerDetections(NamedTuple):
    """The answer of one decoder layer before the last."""

    logits: Float[Tensor, "B Q classes"]
    boxes: Float[Tensor, "B Q 4"]  # (cx, cy, w, h) in [0, 1] of the image without its padding


class Proposals(NamedTuple):
    """The first stage of a two-stage model: one box a token of the encoder."""

    logits: Float[Tensor, "B S classes"]  # class 0 says "an object"; -100 where a token is not allowed
    boxes: Float[Tensor, "B S 4"]  # (cx, cy, w, h) in [0, 1]
    valid: Bool[Tensor, "B S"]  # True where a token may become a proposal


class DeformableRecords(NamedTuple):
    """Where the deformable attentions looked, layer by layer."""

    encoder: list[SamplingRecord]  # queries are the S tokens
    decoder: list[SamplingRecord]  # queries are the Q object queries
    references: list[Float[Tensor, "B Q _"]]  # what each decoder layer started from: (x, y) or (cx, cy, w, h)


class DenseRecords(NamedTuple):
    """How the dense attentions of DETR weighted all tokens, layer by layer."""

    encoder: list[Float[Tensor, "B M S S"]]
    decoder: list[Float[Tensor, "B M Q S"]]  # cross-attention


class Detections(NamedTuple):
    """The answer of the last decoder layer, and what training and plots need besides."""

    logits: Float[Tensor, "B Q classes"]  # before sigmoid or softmax
    boxes: Float[Tensor, "B Q 4"]  # (cx, cy, w, h) in [0, 1] of the image without its padding
    auxiliary: list[LayerDetections]  # of the earlier decoder layers, first layer first
    encoder: Proposals | None = None  # two-stage models only
    sampling: DeformableRecords | DenseRecords | None = None  # only when asked for
    background_class: bool = False  # True: softmax, the last class is "no object"; False: one sigmoid a class


def all_layers(detections: Detections) -> list[LayerDetections]:
    """List the answers of every decoder layer, the last one at the end.

    Args:
        detections: what a model returned.
    Returns:
        One entry a decoder layer, first layer first.
    Raises:
        TypeError: if `detections` is not a Detections.
    Source: the auxiliary outputs of DETR (arXiv 2005.12872, section 3.2); taught in
    notebooks/17_matching_and_losses.ipynb.
    """
    value: Any = detections
    if not isinstance(value, Detections):
        raise TypeError(f"detections must be a Detections, got {type(value).__name__}")
    return [*detections.auxiliary, LayerDetections(detections.logits, detections.boxes)]
