"""Checks for notebooks/12_grid_sample_attention.ipynb: one reading between cells, and the whole attention.

Each check is a slow reference made of loops, random inputs, and the mistakes people make, every one with the
sentence that names it.
"""

import math
from collections.abc import Callable, Sequence

import torch
from einops import rearrange
from hypothesis import strategies as st
from matplotlib.figure import Figure
from torch import Tensor

from detr_tutorial.checks._check import Check, Inputs, tensors
from detr_tutorial.plots.chapter_12 import your_output, your_reading

SpatialShapes = Sequence[tuple[int, int]]
Attention = Callable[[Tensor, SpatialShapes, Tensor, Tensor], Tensor]


# ---------------------------------------------------------------- one point on one map


def bilinear_sample_by_loops(level_map: Tensor, point: Tensor) -> Tensor:
    """Read a map (H, W, D) at a normalized point (x, y): (D,). Cells outside count as zero."""
    height, width, channels = level_map.shape
    x, y = float(point[0]) * width - 0.5, float(point[1]) * height - 0.5
    total = torch.zeros(channels, dtype=level_map.dtype)
    for row in (math.floor(y), math.floor(y) + 1):
        for column in (math.floor(x), math.floor(x) + 1):
            if 0 <= row < height and 0 <= column < width:
                total += (1 - abs(x - column)) * (1 - abs(y - row)) * level_map[row, column]
    return total


def read_points(
    level_map: Tensor,
    points: Tensor,
    *,
    to_pixels: Callable[[Tensor, Tensor], Tensor] = lambda points, size: points * size - 0.5,
    outside: str = "zeros",
    neighbors: str = "four",
) -> Tensor:
    """Read maps (N, H, W, D) at normalized points (N, P, 2): (N, P, D), with replaceable parts.

    Args:
        to_pixels: turns points into pixel coordinates, given the size (W, H) as a tensor.
        outside: "zeros" counts cells outside as zero; "border" takes the nearest cell of the map;
            "renormalized" divides by the weight that fell on the map.
        neighbors: "four" of them weighted by nearness, the "nearest" only, the "mean" of the four,
            or "crossed": each gets the weight of the neighbor on the other side.
    """
    maps, height, width, _ = level_map.shape
    size = points.new_tensor([width, height])
    pixels = to_pixels(points, size)
    corner = pixels.floor()
    index = torch.arange(maps)[:, None]
    total, kept = (
        level_map.new_zeros(*points.shape[:2], level_map.shape[-1]),
        points.new_zeros(points.shape[:2]),
    )
    for step in ((0.0, 0.0), (1.0, 0.0), (0.0, 1.0), (1.0, 1.0)):
        cell = corner + points.new_tensor(step)
        distance = (pixels - cell).abs()
        if neighbors == "nearest":
            share = ((pixels + 0.5).floor() == cell).all(-1).to(points)
        elif neighbors == "mean":
            share = torch.full_like(kept, 0.25)
        else:
            share = (distance if neighbors == "crossed" else 1 - distance).prod(-1)
        if outside != "border":
            share = share * ((cell >= 0) & (cell < size)).all(-1)
        column, row = cell.long().unbind(-1)
        read = level_map[index, row.clamp(0, height - 1), column.clamp(0, width - 1)]
        total, kept = total + share[..., None] * read, kept + share
    return total / kept.clamp(min=1e-9)[..., None] if outside == "renormalized" else total


GEOMETRY_MISTAKES: tuple[tuple[str, dict], ...] = (
    (
        "you put 0 and 1 on the centers of the first and last cell (align_corners=True): "
        "the pixel is p * W - 0.5, not p * (W - 1)",
        {"to_pixels": lambda points, size: points * (size - 1)},
    ),
    (
        "half a pixel is missing: cell i has its center at (i + 0.5) / W, so the pixel is p * W - 0.5",
        {"to_pixels": lambda points, size: points * size},
    ),
    (
        "you added half a pixel instead of subtracting it: the pixel is p * W - 0.5",
        {"to_pixels": lambda points, size: points * size + 0.5},
    ),
    (
        "you swapped x and y: a point is (x, y), so the first number chooses the column",
        {"to_pixels": lambda points, size: points.flip(-1) * size - 0.5},
    ),
    (
        "you scaled x by H and y by W: x runs along the width, so it is x * W and y * H",
        {"to_pixels": lambda points, size: points * size.flip(-1) - 0.5},
    ),
    (
        "you took the points as grid_sample coordinates: they run from 0 to 1, grid_sample wants 2 p - 1",
        {"to_pixels": lambda points, size: (points + 1) * size / 2 - 0.5},
    ),
    (
        'you repeated the edge of the map outside of it (padding_mode="border"): cells outside count as zero',
        {"outside": "border"},
    ),
    (
        "you divided by the weight that fell on the map: nothing is renormalized, what falls outside is lost",
        {"outside": "renormalized"},
    ),
    (
        "you read the nearest cell only: a point between cells reads four of them",
        {"neighbors": "nearest"},
    ),
    (
        "you took the plain mean of the four neighbors: the nearer a cell, the more it counts",
        {"neighbors": "mean"},
    ),
    (
        "you gave each neighbor the weight of the opposite one: a cell's weight is 1 - distance in x times "
        "1 - distance in y",
        {"neighbors": "crossed"},
    ),
)


def _wrong_reading(parts: dict) -> Callable[[Tensor, Tensor], Tensor]:
    def wrong(level_map: Tensor, point: Tensor) -> Tensor:
        return read_points(level_map[None], point[None, None], **parts)[0, 0]

    return wrong


def _points(*shape: int) -> st.SearchStrategy:
    """Draw points in [-0.25, 1.25], a little outside of the map on every side."""
    return tensors(*shape, 2, low=-0.25, high=1.25, denominator=16)


@st.composite
def _map_and_point(draw: Callable) -> dict:
    height, width, channels = (draw(st.integers(1, most)) for most in (5, 6, 3))
    return {"level_map": draw(tensors(height, width, channels)), "point": draw(_points())}


def _draw_reading(inputs: Inputs, yours: Tensor, target: Tensor) -> Figure:
    level_map, (x, y) = inputs["level_map"], inputs["point"].tolist()
    pixel = (x * level_map.shape[1] - 0.5, y * level_map.shape[0] - 0.5)
    return your_reading(
        level_map[..., 0], pixel, float(torch.as_tensor(yours).flatten()[0]), float(target[0])
    )


_EXAMPLE_MAP = torch.tensor([[[10.0 * row + column, 1.0] for column in range(6)] for row in range(4)])

bilinear_sample = Check(
    name="bilinear_sample",
    reference=bilinear_sample_by_loops,
    inputs=_map_and_point(),
    mistakes=[(sentence, _wrong_reading(parts)) for sentence, parts in GEOMETRY_MISTAKES],
    example={"level_map": _EXAMPLE_MAP, "point": torch.tensor([5.75 / 6, 2.0 / 4])},
    letters="(D,)",
    draw=_draw_reading,
)


# ---------------------------------------------------------------- the whole attention


def ms_deform_attn_by_loops(
    value: Tensor, spatial_shapes: SpatialShapes, sampling_locations: Tensor, attention_weights: Tensor
) -> Tensor:
    """The formula, one sampling point at a time: (B, Q, M D)."""
    batch, queries, heads, levels, points = attention_weights.shape
    output = torch.zeros(batch, queries, heads, value.shape[-1], dtype=value.dtype)
    starts = _level_starts(spatial_shapes)
    for b in range(batch):
        for level in range(levels):
            height, width = spatial_shapes[level]
            tokens = value[b, starts[level] : starts[level + 1]]
            level_map = tokens.reshape(height, width, heads, -1)
            for q in range(queries):
                for m in range(heads):
                    for k in range(points):
                        point = sampling_locations[b, q, m, level, k]
                        read = bilinear_sample_by_loops(level_map[:, :, m], point)
                        output[b, q, m] += attention_weights[b, q, m, level, k] * read
    return output.flatten(2)


def _level_starts(spatial_shapes: SpatialShapes) -> list[int]:
    starts = [0]
    for height, width in spatial_shapes:
        starts.append(starts[-1] + height * width)
    return starts


def attention_variant(
    *,
    geometry: dict | None = None,
    values: Callable[[Tensor], Tensor] = lambda value: value,
    level_start: Callable[[list[int], int], int] = lambda starts, level: starts[level],
    cells: str = "B (H W) M D -> (B M) H W D",
    grid: str = "B Q M K xy -> (B M) (Q K) xy",
    weights: Callable[[Tensor], Tensor] = lambda weights: weights,
    finish: str = "(B M) Q D -> B Q (M D)",
) -> Attention:
    """The right attention with some of its parts replaced: how the known mistakes are made."""

    def variant(
        value: Tensor, spatial_shapes: SpatialShapes, sampling_locations: Tensor, attention_weights: Tensor
    ) -> Tensor:
        batch, queries, heads, _, points = attention_weights.shape
        value, used = values(value), weights(attention_weights)
        starts = _level_starts(spatial_shapes)
        total = value.new_zeros(batch * heads, queries, value.shape[-1])
        for level, (height, width) in enumerate(spatial_shapes):
            start = level_start(starts, level)
            level_map = rearrange(value[:, start : start + height * width], cells, H=height, W=width)
            read = read_points(
                level_map, rearrange(sampling_locations[:, :, :, level], grid), **(geometry or {})
            )
            read = rearrange(read, "N (Q K) D -> N Q K D", K=points)
            total = total + (read * rearrange(used[:, :, :, level], "B Q M K -> (B M) Q K 1")).sum(2)
        return rearrange(total, finish, B=batch, M=heads)

    return variant


def _softmax(*dims: int) -> Callable[[Tensor], Tensor]:
    """A softmax over these axes of (B, Q, M, L, K)."""

    def softmax(weights: Tensor) -> Tensor:
        exponentials = weights.exp()
        return exponentials / exponentials.sum(dims, keepdim=True)

    return softmax


ATTENTION_MISTAKES: tuple[tuple[str, Attention], ...] = (
    *((sentence, attention_variant(geometry=parts)) for sentence, parts in GEOMETRY_MISTAKES),
    (
        "images and heads are mixed up: the maps are ordered image by image, (B M), but your points head by "
        "head, (M B), as repeat(M, ...) does. With one image nobody notices",
        attention_variant(grid="B Q M K xy -> (M B) (Q K) xy"),
    ),
    (
        "every head reads the channels of head 0: head m reads its own block of channels",
        attention_variant(values=lambda value: value[:, :, :1].expand_as(value)),
    ),
    (
        "the heads read each other's channels: head m must read block m, not block M - 1 - m",
        attention_variant(values=lambda value: value.flip(2)),
    ),
    (
        "the channels come out as (D M): each head's D channels belong together, (M D)",
        attention_variant(finish="(B M) Q D -> B Q (D M)"),
    ),
    (
        "you read every level from the start of the tokens: a level begins after all cells of the finer ones",
        attention_variant(level_start=lambda starts, level: 0),
    ),
    (
        "you cut the tokens into maps column by column: a level is stored row by row, (H W)",
        attention_variant(cells="B (W H) M D -> (B M) H W D"),
    ),
    (
        "you did not use the attention weights",
        attention_variant(weights=torch.ones_like),
    ),
    (
        "you averaged the points: the attention weights already sum to 1, so add up",
        attention_variant(weights=lambda weights: weights / (weights.shape[-1] * weights.shape[-2])),
    ),
    (
        "you averaged over the levels: the attention weights already sum to 1 over levels and points",
        attention_variant(weights=lambda weights: weights / weights.shape[-2]),
    ),
    (
        "you applied the softmax a second time, jointly: the weights you get are already normalized",
        attention_variant(weights=_softmax(-2, -1)),
    ),
    (
        "you applied a softmax on each level: the weights you get are already normalized, over levels and "
        "points together",
        attention_variant(weights=_softmax(-1)),
    ),
    (
        "you made the weights of each level sum to 1: only levels and points together sum to 1",
        attention_variant(weights=lambda weights: weights / weights.sum(-1, keepdim=True)),
    ),
)


@st.composite
def _attention_inputs(draw: Callable) -> dict:
    """All sizes free and small; the weights of a head sum to 1 over its levels and points.

    Only the sizes and a seed are drawn, so that the search for the smallest input is quick.
    """
    batch, queries, heads, channels, levels, points = (draw(st.integers(1, 2)) for _ in range(6))
    shapes = tuple((draw(st.integers(1, 3)), draw(st.integers(1, 4))) for _ in range(levels))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 9)))

    def numbers(*shape: int, low: float, high: float, denominator: int) -> Tensor:
        whole = torch.randint(
            round(low * denominator), round(high * denominator) + 1, shape, generator=generator
        )
        return whole / denominator

    tokens = sum(height * width for height, width in shapes)
    raw = numbers(batch, queries, heads, levels, points, low=0.25, high=2.0, denominator=4)
    return {
        "value": numbers(batch, tokens, heads, channels, low=-2.0, high=2.0, denominator=4),
        "spatial_shapes": shapes,
        "sampling_locations": numbers(
            batch, queries, heads, levels, points, 2, low=-0.25, high=1.25, denominator=16
        ),
        "attention_weights": raw / raw.sum((-2, -1), keepdim=True),
    }


def _example() -> dict:
    generator = torch.Generator().manual_seed(12)
    batch, queries, heads, channels, levels, points = 2, 7, 3, 5, 2, 4
    weights = torch.rand(batch, queries, heads, levels, points, generator=generator)
    return {
        "value": torch.randn(batch, 30, heads, channels, generator=generator),
        "spatial_shapes": ((4, 6), (2, 3)),
        "sampling_locations": torch.rand(batch, queries, heads, levels, points, 2, generator=generator) * 1.4
        - 0.2,
        "attention_weights": weights / weights.sum((-2, -1), keepdim=True),
    }


def _draw_output(inputs: Inputs, yours: Tensor, target: Tensor) -> Figure:
    return your_output(yours[-1].float(), target[-1])


ms_deform_attn = Check(
    name="ms_deform_attn",
    reference=ms_deform_attn_by_loops,
    inputs=_attention_inputs(),
    mistakes=ATTENTION_MISTAKES,
    example=_example(),
    letters="(B, Q, M D)",
    draw=_draw_output,
    num_inputs=20,
)
