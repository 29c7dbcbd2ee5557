"""Checks for notebooks/06_cost_of_dense_attention.ipynb: sizes of levels, and the bill of a decoder layer.

Each check is a slow reference that counts one by one, random inputs, and the mistakes people make, every one
with the sentence that names it.
"""

from collections.abc import Callable, Sequence

import torch
from hypothesis import strategies as st
from matplotlib.figure import Figure
from torch import Tensor

from detr_tutorial.checks._check import Check, Inputs
from detr_tutorial.plots.chapter_06 import your_costs

SpatialShapes = Sequence[tuple[int, int]]

# ---------------------------------------------------------------- the sizes of the levels


def levels_by_steps(height: int, width: int, strides: Sequence[int]) -> Tensor:
    """Lay cells side by side until the picture is covered: (L, 2), height first."""
    sizes = []
    for stride in strides:
        rows = columns = 0
        while rows * stride < height:
            rows += 1
        while columns * stride < width:
            columns += 1
        sizes.append((rows, columns))
    return torch.tensor(sizes)


def _levels(
    cells: Callable[[int, int], float], order: tuple[int, int] = (0, 1)
) -> Callable[[int, int, Sequence[int]], Tensor]:
    def variant(height: int, width: int, strides: Sequence[int]) -> Tensor:
        sides = ((height, width)[order[0]], (height, width)[order[1]])
        return torch.tensor([[cells(side, stride) for side in sides] for stride in strides])

    return variant


def _coarsest_first(height: int, width: int, strides: Sequence[int]) -> Tensor:
    return levels_by_steps(height, width, strides).flip(0)


def _numbers_of_cells(height: int, width: int, strides: Sequence[int]) -> Tensor:
    return levels_by_steps(height, width, strides).prod(dim=1)


LEVEL_MISTAKES = (
    (
        "you rounded down: a rest that is smaller than the stride has a cell of its own",
        _levels(lambda side, stride: side // stride),
    ),
    (
        "you rounded to the nearest: every rest has a cell of its own, so round up",
        _levels(lambda side, stride: (2 * side + stride) // (2 * stride)),
    ),
    ("you did not round: a map has whole cells", _levels(lambda side, stride: side / stride)),
    (
        "you added one to each side: a side that divides has no rest",
        _levels(lambda side, stride: side // stride + 1),
    ),
    (
        "your sizes are (width, height): sizes are (height, width)",
        _levels(lambda side, stride: -(-side // stride), (1, 0)),
    ),
    ("your levels come coarsest first: keep the order of the strides", _coarsest_first),
    ("you gave the number of cells: give height and width", _numbers_of_cells),
)

level_sizes = Check(
    name="level_sizes",
    reference=levels_by_steps,
    inputs=st.fixed_dictionaries(
        {
            "height": st.integers(1, 40),
            "width": st.integers(1, 40),
            "strides": st.sampled_from([[4, 8], [2, 4, 8], [8, 16]]),
        }
    ),
    mistakes=LEVEL_MISTAKES,
    example={"height": 30, "width": 41, "strides": [4, 8, 16]},
    letters="(L, 2)",
    tolerance=0.0,
)


# ---------------------------------------------------------------- the bill of deformable cross-attention

PARTS = ("projections", "predictions", "reading")
Bill = tuple[int, int, int]


def bill_by_counting(
    num_queries: int, spatial_shapes: SpatialShapes, d_model: int, num_heads: int, num_points: int
) -> Bill:
    """Add one for every multiply-add, kind by kind: projections, predictions, reading."""
    tokens = sum(height * width for height, width in spatial_shapes)
    projections = predictions = reading = 0
    for _token in range(tokens):
        projections += d_model * d_model  # its value
    for _query in range(num_queries):
        projections += d_model * d_model  # the output
        for _head in range(num_heads):
            for _level in spatial_shapes:
                for _point in range(num_points):
                    predictions += d_model * 3  # x, y and score
                    for _channel in range(d_model // num_heads):
                        reading += 4 + 1  # four neighbors, one attention weight
    return projections, predictions, reading


def _bill(
    projections: Callable[..., int] | None = None,
    predictions: Callable[..., int] | None = None,
    reading: Callable[..., int] | None = None,
) -> Callable[..., Bill]:
    """The right bill with parts replaced; a part is given N_q, S, C, M, L, K."""

    def variant(
        num_queries: int, spatial_shapes: SpatialShapes, d_model: int, num_heads: int, num_points: int
    ) -> Bill:
        right = bill_by_counting(num_queries, spatial_shapes, d_model, num_heads, num_points)
        tokens = sum(height * width for height, width in spatial_shapes)
        sizes = (num_queries, tokens, d_model, num_heads, len(spatial_shapes), num_points)
        first, second, third = (
            part(*sizes) if part else kept
            for part, kept in zip((projections, predictions, reading), right, strict=True)
        )
        return first, second, third

    return variant


def _turned(*inputs: object) -> Bill:
    projections, predictions, reading = bill_by_counting(*inputs)  # pyright: ignore[reportArgumentType]
    return reading, predictions, projections


def _doubled(*inputs: object) -> Bill:
    projections, predictions, reading = bill_by_counting(*inputs)  # pyright: ignore[reportArgumentType]
    return 2 * projections, 2 * predictions, 2 * reading


BILL_MISTAKES = (
    (
        "you counted floating-point operations: a multiply-add is one here, though it is two operations",
        _doubled,
    ),
    (
        "you let every token ask: in the decoder the queries are the object queries, not the tokens",
        _bill(
            lambda q, s, c, m, levels, k: 2 * s * c * c,
            lambda q, s, c, m, levels, k: 3 * s * c * m * levels * k,
            lambda q, s, c, m, levels, k: 5 * s * levels * k * c,
        ),
    ),
    (
        "you forgot the values: all tokens pass the value projection, S C^2",
        _bill(lambda q, s, c, m, levels, k: q * c * c),
    ),
    (
        "you forgot the output projection of the queries, N_q C^2",
        _bill(lambda q, s, c, m, levels, k: s * c * c),
    ),
    (
        "you counted four projections as in dense attention: here are no queries and no keys, only values "
        "and output",
        _bill(lambda q, s, c, m, levels, k: 2 * (q + s) * c * c),
    ),
    (
        "you made values of the queries: values are made of all tokens, S C^2",
        _bill(lambda q, s, c, m, levels, k: 2 * q * c * c),
    ),
    (
        "you counted the offsets without the scores: each point has x, y and a score",
        _bill(None, lambda q, s, c, m, levels, k: 2 * q * c * m * levels * k),
    ),
    (
        "you counted one number for each point: it has x, y and a score",
        _bill(None, lambda q, s, c, m, levels, k: q * c * m * levels * k),
    ),
    (
        "you left the heads out of the predictions: every head has its own points",
        _bill(None, lambda q, s, c, m, levels, k: 3 * q * c * levels * k),
    ),
    (
        "you left the levels out of the predictions: every level has its own points",
        _bill(None, lambda q, s, c, m, levels, k: 3 * q * c * m * k),
    ),
    (
        "you left the levels out of the reading: a query reads K points on every level",
        _bill(None, None, lambda q, s, c, m, levels, k: 5 * q * k * c),
    ),
    (
        "you counted the heads twice: a head reads D = C / M channels, so all heads together read C",
        _bill(None, None, lambda q, s, c, m, levels, k: 5 * q * levels * k * c * m),
    ),
    (
        "you counted the four neighbors, but not the attention weight: it is 5 for each sample and channel",
        _bill(None, None, lambda q, s, c, m, levels, k: 4 * q * levels * k * c),
    ),
    (
        "you read one cell for each point: a point lies between four cells, and has one attention weight",
        _bill(None, None, lambda q, s, c, m, levels, k: q * levels * k * c),
    ),
    (
        "you compared every query with every token, as dense attention does",
        _bill(None, None, lambda q, s, c, m, levels, k: 2 * q * s * c),
    ),
    ("your parts are in another order: projections, predictions, reading", _turned),
)


def _draw_bill(inputs: Inputs, yours: Sequence[int | float], target: Sequence[int | float]) -> Figure:
    return your_costs([float(part) for part in yours], [float(part) for part in target], PARTS)


@st.composite
def _sizes(draw: Callable) -> dict:
    heads = draw(st.sampled_from([2, 3]))
    levels = draw(st.integers(1, 3))
    return {
        "num_queries": draw(st.integers(1, 5)),
        "spatial_shapes": [(draw(st.integers(1, 5)), draw(st.integers(1, 5))) for _ in range(levels)],
        "d_model": heads * draw(st.integers(1, 4)),
        "num_heads": heads,
        "num_points": draw(st.integers(1, 4)),
    }


decoder_bill = Check(
    name="decoder_bill",
    reference=bill_by_counting,
    inputs=_sizes(),
    mistakes=BILL_MISTAKES,
    example={
        "num_queries": 7,
        "spatial_shapes": [(4, 6), (2, 3)],
        "d_model": 15,
        "num_heads": 3,
        "num_points": 4,
    },
    letters="",
    draw=_draw_bill,
    tolerance=0.0,
)
