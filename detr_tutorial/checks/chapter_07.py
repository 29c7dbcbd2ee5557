"""Checks for notebooks/07_deformable_convolution.ipynb: receptive fields, and offsets that turn a grid.

Each check is a slow reference made of loops, random inputs, and the mistakes people make, every one with the
sentence that names it.
"""

import math
from collections.abc import Callable, Sequence

import torch
from hypothesis import strategies as st
from matplotlib.figure import Figure
from torch import Tensor

from detr_tutorial.checks._check import Check, Inputs, Number
from detr_tutorial.plots.chapter_07 import your_points

Layers = Sequence[tuple[int, int, int]]  # (kernel, stride, dilation) of each, the first layer first
Field = Callable[[Layers], int]


# ---------------------------------------------------------------- how many cells a stack of layers sees


def receptive_field_by_loops(layers: Layers) -> int:
    """Walk from one output back to the input and see how far apart its outermost cells are."""
    first, last = 0, 0  # cells of the present map
    for kernel, stride, dilation in reversed(list(layers)):
        first = first * stride
        last = last * stride + (kernel - 1) * dilation
    return last - first + 1


def _field(
    *,
    start: int = 1,
    grow: Callable[[int, int], int] = lambda kernel, dilation: (kernel - 1) * dilation,
    step_first: bool = False,
    strides: bool = True,
    order: int = 1,
) -> Field:
    """The right recurrence with some of its parts replaced: how the known mistakes are made."""

    def field(layers: Layers) -> int:
        side, step = start, 1
        for kernel, stride, dilation in list(layers)[::order]:
            step *= stride if step_first and strides else 1
            side += grow(kernel, dilation) * step
            step *= stride if strides and not step_first else 1
        return side

    return field


def _multiplied(layers: Layers) -> int:
    return math.prod(kernel for kernel, _, _ in layers)


FIELD_MISTAKES: tuple[tuple[str, Field], ...] = (
    (
        "you started at 0: without any layer an output is one cell, so start at 1",
        _field(start=0),
    ),
    (
        "you added the whole kernel: its middle is there already, so a layer adds kernel - 1",
        _field(grow=lambda kernel, dilation: kernel * dilation),
    ),
    (
        "you left out the dilation: its factor widens each gap of the kernel",
        _field(grow=lambda kernel, dilation: kernel - 1),
    ),
    (
        "you multiplied kernel by dilation before subtracting 1: a kernel has (kernel - 1) gaps of that size",
        _field(grow=lambda kernel, dilation: kernel * dilation - 1),
    ),
    (
        "you left out the strides: after a stride of 2, a step on the map is two steps on the input",
        _field(strides=False),
    ),
    (
        "you multiplied by a layer's own stride too early: it widens the steps of the layers after it",
        _field(step_first=True),
    ),
    (
        "you went through the layers from the last to the first: a stride widens the layers after it",
        _field(order=-1),
    ),
    (
        "you multiplied the kernels: that counts paths, and paths meet on the same cells",
        _multiplied,
    ),
)

_layer = st.tuples(st.sampled_from([1, 2, 3, 5, 7]), st.sampled_from([1, 2, 3]), st.sampled_from([1, 2, 4]))

receptive_field = Check(
    name="receptive_field",
    reference=receptive_field_by_loops,
    inputs=st.fixed_dictionaries({"layers": st.lists(_layer, min_size=1, max_size=4)}),
    mistakes=FIELD_MISTAKES,
    example={"layers": [(7, 2, 1), (3, 2, 2), (5, 3, 1)]},
)


# ---------------------------------------------------------------- offsets that move, scale and turn a grid


def grid_offsets_by_loops(angle: Number, scale: Number, shift: Tensor) -> Tensor:
    """Each of the nine points by itself: where it should be, minus where it is."""
    rows = []
    for y in (-1, 0, 1):
        for x in (-1, 0, 1):
            turned_x = math.cos(angle) * x - math.sin(angle) * y
            turned_y = math.sin(angle) * x + math.cos(angle) * y
            rows.append((scale * turned_x + float(shift[0]) - x, scale * turned_y + float(shift[1]) - y))
    return torch.tensor(rows)


def _offsets(
    *,
    minus_rest: bool = True,
    turn: int = 1,
    degrees: bool = False,
    swap: bool = False,
    columns_first: bool = False,
    shift_scaled: bool = False,
    use: tuple[bool, bool, bool] = (True, True, True),
) -> Callable[[Number, Number, Tensor], Tensor]:
    """The right offsets with some of their parts replaced: how the known mistakes are made."""

    def offsets(angle: Number, scale: Number, shift: Tensor) -> Tensor:
        angle, scale = angle * turn * use[0], scale if use[1] else 1.0
        moved_by = shift * use[2] * (scale if shift_scaled else 1.0)
        angle = math.degrees(angle) if degrees else angle
        y, x = torch.meshgrid(torch.arange(-1.0, 2.0), torch.arange(-1.0, 2.0), indexing="ij")
        order = (x, y) if not columns_first else (y, x)
        rest = torch.stack(order, dim=-1).reshape(9, 2)
        cosine, sine = math.cos(angle), math.sin(angle)
        matrix = torch.tensor([[cosine, -sine], [sine, cosine]])
        moved = scale * rest @ matrix.T + moved_by
        answer = moved - rest if minus_rest else moved
        return answer.flip(-1) if swap else answer

    return offsets


OFFSETS_MISTAKES: tuple[tuple[str, Callable], ...] = (
    (
        "you gave the places and not the offsets: subtract where each point is at rest",
        _offsets(minus_rest=False),
    ),
    ("you gave (y, x): a point is (x, y)", _offsets(swap=True)),
    (
        "you numbered the points column by column: a kernel goes row by row, x first",
        _offsets(columns_first=True),
    ),
    (
        "you turned the other way: from +x towards +y, which is down",
        _offsets(turn=-1),
    ),
    ("you took radians for degrees: the angle is in radians already", _offsets(degrees=True)),
    ("you scaled the shift as well: it comes last, in cells", _offsets(shift_scaled=True)),
    ("you left out the shift", _offsets(use=(True, True, False))),
    ("you left out the scale", _offsets(use=(True, False, True))),
    ("you left out the angle", _offsets(use=(False, True, True))),
)


@st.composite
def _movements(draw: Callable) -> dict:
    """An angle of a few twelfths of a turn, a scale in quarters, a shift in halves of a cell."""
    return {
        "angle": draw(st.sampled_from([0, 1, 2, 3, 4, -1, -3])) * math.pi / 6,
        "scale": draw(st.sampled_from([1.0, 0.5, 2.0, 1.75])),
        "shift": torch.tensor([draw(st.sampled_from([0.0, 1.0, -0.5, 3.0])) for _ in "xy"]),
    }


def _draw_offsets(inputs: Inputs, yours: Tensor, target: Tensor) -> Figure:
    return your_points(yours, target)


grid_offsets = Check(
    name="grid_offsets",
    reference=grid_offsets_by_loops,
    inputs=_movements(),
    mistakes=OFFSETS_MISTAKES,
    example={"angle": math.pi / 6, "scale": 1.5, "shift": torch.tensor([2.0, -0.5])},
    letters="(9, xy)",
    draw=_draw_offsets,
)
