"""The exercises of notebooks/15_box_refinement.ipynb: boxes from references, and from layer to layer."""

import math
from collections.abc import Callable
from itertools import product

import torch
from hypothesis import strategies as st
from matplotlib.figure import Figure
from torch import Tensor

from detr_tutorial.checks._check import Check, Inputs, tensors
from detr_tutorial.plots.chapter_15 import boxes_against_target


def _logit(x: float) -> float:
    x = min(max(x, 0.0), 1.0)
    return math.log(max(x, 1e-5) / max(1 - x, 1e-5))


def _sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


# ---------------------------------------------------------------- one box


def move_boxes_by_loops(references: Tensor, deltas: Tensor) -> Tensor:
    """The definition, one number at a time: (B, Q, 4)."""
    boxes = torch.zeros_like(deltas)
    for b, q, i in product(*map(range, deltas.shape)):
        start = _logit(references[b, q, i].item()) if i < references.shape[-1] else 0.0
        boxes[b, q, i] = _sigmoid(start + deltas[b, q, i].item())
    return boxes


def _logits_of(references: Tensor, eps: float = 1e-5) -> Tensor:
    return torch.log(references.clamp(min=eps) / (1 - references).clamp(min=eps))


def _padded(logits: Tensor, value: float = 0.0) -> Tensor:
    """(B, Q, 4): what is missing behind (x, y) is `value`."""
    missing = logits.new_full((*logits.shape[:-1], 4 - logits.shape[-1]), value)
    return torch.cat([logits, missing], dim=-1)


def _moved(start: Callable[[Tensor], Tensor]) -> Callable[[Tensor, Tensor], Tensor]:
    return lambda references, deltas: (_padded(start(references)) + deltas).sigmoid()


def _added(references: Tensor, deltas: Tensor) -> Tensor:
    return _padded(references) + deltas


def _added_after(references: Tensor, deltas: Tensor) -> Tensor:
    return _padded(references) + deltas.sigmoid()


def _half_size(references: Tensor, deltas: Tensor) -> Tensor:
    return (_padded(_logits_of(references), value=_logit(0.5) - 2.0) + deltas).sigmoid()


def _no_sigmoid(references: Tensor, deltas: Tensor) -> Tensor:
    return _padded(_logits_of(references)) + deltas


def _size_of_box_lost(references: Tensor, deltas: Tensor) -> Tensor:
    return (_padded(_logits_of(references[..., :2])) + deltas).sigmoid()


def _clamped(references: Tensor, deltas: Tensor) -> Tensor:
    return (_padded(references) + deltas).clamp(0, 1)


MOVE_MISTAKES = (
    (
        "you added the numbers to the coordinates: add them to the logits of the reference",
        _added,
    ),
    (
        "you added to the coordinates and cut off at 0 and 1: add to the logits, "
        "and a sigmoid keeps them inside",
        _clamped,
    ),
    (
        "you added the sigmoid of the numbers to the reference: first add, in logits, then one sigmoid",
        _added_after,
    ),
    (
        "you took the reference as logits already: it lies in [0, 1], so take its inverse sigmoid first",
        _moved(lambda references: references),
    ),
    ("you left out the last sigmoid: your boxes are logits", _no_sigmoid),
    ("you left out the reference", _moved(torch.zeros_like)),
    (
        "you used only the center of a reference box: its width and height are corrected too",
        _size_of_box_lost,
    ),
    (
        "you gave a point a size of its own: around a point, width and height come from the numbers alone",
        _half_size,
    ),
    (
        "your logit has no smallest distance from 0 and 1: raise x and 1 - x to 1e-5 first",
        _moved(lambda references: torch.log(references / (1 - references))),
    ),
    (
        "your smallest distance from 0 and 1 is 1e-3: it is 1e-5 in Deformable DETR",
        _moved(lambda references: _logits_of(references, 1e-3)),
    ),
    (
        "you took log(x) for the inverse sigmoid: it is log(x / (1 - x))",
        _moved(lambda references: references.clamp(min=1e-5).log()),
    ),
    (
        "you subtracted the numbers",
        lambda references, deltas: (_padded(_logits_of(references)) - deltas).sigmoid(),
    ),
    (
        "you took the numbers as (y, x, h, w): they are in the order of the box, (cx, cy, w, h)",
        lambda references, deltas: (_padded(_logits_of(references)) + deltas[..., [1, 0, 3, 2]]).sigmoid(),
    ),
)


@st.composite
def _references_and_deltas(draw: Callable) -> dict:
    batch, queries = draw(st.integers(1, 2)), draw(st.integers(1, 3))
    numbers = draw(st.sampled_from([2, 4]))
    return {
        "references": draw(tensors(batch, queries, numbers, low=0.0, high=1.0, denominator=8, simplest=0.5)),
        "deltas": draw(tensors(batch, queries, 4)),
    }


_MOVE_EXAMPLE = {
    "references": torch.tensor([[(0.25, 0.5, 0.25, 0.125), (0.75, 0.625, 0.5, 0.25), (0.0, 1.0, 0.5, 0.0)]]),
    # the last query stands on the edges and is moved far: there one sees how its logit was kept finite
    "deltas": torch.tensor([[(0.5, -0.25, 0.25, 1.0), (-1.0, 0.5, -0.5, 0.75), (9.0, -9.0, 1.0, 9.0)]]),
}


def _draw_moved(inputs: Inputs, yours: Tensor, target: Tensor) -> Figure:
    return boxes_against_target(yours[0], target[0], inputs["references"][0])


# ---------------------------------------------------------------- from layer to layer


def refine_by_loops(start: Tensor, deltas: Tensor) -> Tensor:
    """Each layer's box is a correction of the box before: (layers, B, Q, 4)."""
    boxes, references = [], start
    for delta in deltas:
        references = move_boxes_by_loops(references, delta)
        boxes.append(references)
    return torch.stack(boxes)


def _from_the_start(start: Tensor, deltas: Tensor) -> Tensor:
    return torch.stack([move_boxes_by_loops(start, delta) for delta in deltas])


def _center_only(start: Tensor, deltas: Tensor) -> Tensor:
    boxes, references = [], start
    for delta in deltas:
        boxes.append(move_boxes_by_loops(references, delta))
        references = boxes[-1][..., :2]
    return torch.stack(boxes)


def _twice(start: Tensor, deltas: Tensor) -> Tensor:
    boxes, references = [], start
    for delta in deltas:
        references = move_boxes_by_loops(references, delta)
        boxes.append(move_boxes_by_loops(references, delta))
    return torch.stack(boxes)


def _one_late(start: Tensor, deltas: Tensor) -> Tensor:
    return torch.cat([_padded(start)[None], refine_by_loops(start, deltas)[:-1]])


def _last_only(start: Tensor, deltas: Tensor) -> Tensor:
    return refine_by_loops(start, deltas)[-1:].expand_as(deltas)


def _summed_without_logits(start: Tensor, deltas: Tensor) -> Tensor:
    return _padded(start) + deltas.cumsum(dim=0)


def _in_logits(start: Tensor, deltas: Tensor) -> Tensor:
    return _padded(_logits_of(start)) + deltas.cumsum(dim=0)


def _minus_two_everywhere(start: Tensor, deltas: Tensor) -> Tensor:
    return refine_by_loops(start, deltas + torch.tensor([0.0, 0.0, -2.0, -2.0]))


REFINE_MISTAKES = (
    (
        "every layer corrects the start: that is the base model. With refinement it corrects the box of the "
        "layer before",
        _from_the_start,
    ),
    ("you pass on the center only: the next layer starts from the whole box", _center_only),
    (
        "your answer corrects a box twice: layer i answers with the reference of layer i + 1, nothing more",
        _twice,
    ),
    ("your answers are one layer late: the first one is already corrected", _one_late),
    ("you kept the last layer only: every layer answers", _last_only),
    ("you added up in coordinates: add in logits", _summed_without_logits),
    ("you left out the sigmoid: your boxes are logits", _in_logits),
    (
        "you took 2 from every size in every layer: that bias belongs to the first head alone",
        _minus_two_everywhere,
    ),
    (
        "your layers run backwards",
        lambda start, deltas: refine_by_loops(start, deltas.flip(0)),
    ),
)


@st.composite
def _start_and_deltas(draw: Callable) -> dict:
    layers, batch, queries = draw(st.integers(2, 3)), draw(st.integers(1, 2)), draw(st.integers(1, 2))
    numbers = draw(st.sampled_from([2, 4]))
    return {
        "start": draw(tensors(batch, queries, numbers, low=0.125, high=0.875, denominator=8, simplest=0.5)),
        "deltas": draw(tensors(layers, batch, queries, 4, low=-1.0, high=1.0)),
    }


def _draw_refined(inputs: Inputs, yours: Tensor, target: Tensor) -> Figure:
    references = inputs["start"][0, :1].expand(len(yours), -1)
    return boxes_against_target(yours[:, 0, 0], target[:, 0, 0], references)


# ---------------------------------------------------------------- the checks

move_boxes = Check(
    name="move_boxes",
    reference=move_boxes_by_loops,
    inputs=_references_and_deltas(),
    mistakes=MOVE_MISTAKES,
    example=_MOVE_EXAMPLE,
    letters="(B, Q, 4)",
    draw=_draw_moved,
)

refine = Check(
    name="refine",
    reference=refine_by_loops,
    inputs=_start_and_deltas(),
    mistakes=REFINE_MISTAKES,
    example={
        "start": torch.tensor([[(0.25, 0.5), (0.75, 0.625)]]),
        "deltas": torch.tensor(
            [
                [[(0.5, -0.25, -1.0, -1.5), (-1.0, 0.5, -2.0, -1.0)]],
                [[(0.25, 0.25, 0.5, 0.75), (0.5, 0.25, 1.0, 0.25)]],
                [[(0.125, -0.5, 0.25, -0.25), (0.25, -0.25, 0.5, 0.5)]],
            ]
        ),
    },
    letters="(layers, B, Q, 4)",
    draw=_draw_refined,
)
