"""The exercises of notebooks/11_sampling_offsets.ipynb: the star, points around a reference, weights."""

import math
from collections.abc import Callable, Iterator, Sequence
from itertools import product

import torch
from einops import rearrange
from hypothesis import strategies as st
from matplotlib.figure import Figure
from torch import Tensor

from detr_tutorial.checks._check import Check, Inputs, tensors
from detr_tutorial.plots.chapter_11 import bars_of_weights, points_on_levels, star_against_target

SpatialShapes = Sequence[tuple[int, int]]


# ---------------------------------------------------------------- around a point


def locations_by_loops(
    reference_points: Tensor, sampling_offsets: Tensor, spatial_shapes: SpatialShapes
) -> Tensor:
    """The formula, one number at a time: (B, Q, M, L, K, 2)."""
    locations = torch.zeros_like(sampling_offsets)
    for (b, q, m, level, k), (step_x, step_y) in _every_offset(sampling_offsets):
        x, y = reference_points[b, q, level].tolist()
        height, width = spatial_shapes[level]
        locations[b, q, m, level, k] = torch.tensor([x + step_x / width, y + step_y / height])
    return locations


def _every_offset(sampling_offsets: Tensor) -> Iterator[tuple[tuple[int, ...], list[float]]]:
    """Index (b, q, m, l, k) and offset (x, y), one after the other."""
    for index in product(*map(range, sampling_offsets.shape[:-1])):
        yield index, sampling_offsets[index].tolist()


def _with_steps(
    steps: Callable[[Tensor, Tensor], Tensor],
) -> Callable[[Tensor, Tensor, SpatialShapes], Tensor]:
    """The reference plus `steps(offsets, sizes)`, sizes being (L, 1, 2) as (W, H)."""

    def wrong(reference_points: Tensor, sampling_offsets: Tensor, spatial_shapes: SpatialShapes) -> Tensor:
        sizes = torch.tensor([[(width, height)] for height, width in spatial_shapes], dtype=torch.float32)
        return rearrange(reference_points, "B Q L xy -> B Q 1 L 1 xy") + steps(sampling_offsets, sizes)

    return wrong


def _reference_of_level_0(
    reference_points: Tensor, sampling_offsets: Tensor, spatial_shapes: SpatialShapes
) -> Tensor:
    first = reference_points[:, :, :1].expand_as(reference_points)
    return locations_by_loops(first, sampling_offsets, spatial_shapes)


def _without_reference(
    reference_points: Tensor, sampling_offsets: Tensor, spatial_shapes: SpatialShapes
) -> Tensor:
    return locations_by_loops(torch.zeros_like(reference_points), sampling_offsets, spatial_shapes)


def _in_pixels(reference_points: Tensor, sampling_offsets: Tensor, spatial_shapes: SpatialShapes) -> Tensor:
    sizes = torch.tensor([[(width, height)] for height, width in spatial_shapes], dtype=torch.float32)
    return locations_by_loops(reference_points, sampling_offsets, spatial_shapes) * sizes - 0.5


LOCATION_MISTAKES = (
    (
        "you divided x by H and y by W: sizes are (H, W), points are (x, y), so divide by (W, H)",
        _with_steps(lambda offsets, sizes: offsets / sizes.flip(-1)),
    ),
    (
        "you forgot to divide by the level's size: an offset of 1 is one cell, not the whole picture",
        _with_steps(lambda offsets, sizes: offsets),
    ),
    (
        "you divided by the size of level 0 on every level: an offset counts cells of its own level",
        _with_steps(lambda offsets, sizes: offsets / sizes[:1]),
    ),
    (
        "you divided x and y by W: y is divided by H",
        _with_steps(lambda offsets, sizes: offsets / sizes[..., :1]),
    ),
    (
        "you divided x and y by H: x is divided by W",
        _with_steps(lambda offsets, sizes: offsets / sizes[..., 1:]),
    ),
    (
        "you divided by (W - 1, H - 1): a map of W cells is W cells wide",
        _with_steps(lambda offsets, sizes: offsets / (sizes - 1)),
    ),
    (
        "you multiplied by the level's size: an offset is in cells already, and locations are fractions",
        _with_steps(lambda offsets, sizes: offsets * sizes),
    ),
    (
        "you divided by K: that belongs to boxes. Around a point, divide by (W, H)",
        _with_steps(lambda offsets, sizes: offsets / offsets.shape[-2]),
    ),
    (
        "you took the offsets as (y, x): their last axis is (x, y)",
        _with_steps(lambda offsets, sizes: offsets.flip(-1) / sizes),
    ),
    (
        "you subtracted the offsets: a positive offset looks to the right and down",
        _with_steps(lambda offsets, sizes: -offsets / sizes),
    ),
    (
        "you used the reference point of level 0 on every level: in a padded batch they differ",
        _reference_of_level_0,
    ),
    ("you did not add the reference point", _without_reference),
    ("your locations are in pixels: keep them as fractions, 0 and 1 at the outer edges", _in_pixels),
)


@st.composite
def _points_and_offsets(draw: Callable) -> dict:
    batch, queries, heads, levels, points = (draw(st.integers(1, most)) for most in (2, 1, 2, 2, 2))
    return {
        "reference_points": draw(
            tensors(batch, queries, levels, 2, low=0.0, high=1.0, denominator=8, simplest=0.5)
        ),
        "sampling_offsets": draw(tensors(batch, queries, heads, levels, points, 2, simplest=1.0)),
        "spatial_shapes": [(draw(st.integers(2, 6)), draw(st.integers(2, 6))) for _ in range(levels)],
    }


def _small_star(heads: int, levels: int, points: int) -> Tensor:
    """(M, L, K, 2) offsets, all different: a star whose head m is m tenths longer."""
    longer = 1 + 0.1 * torch.arange(heads)[:, None, None, None]
    return star_by_loops(heads, levels, points) * longer


def _draw_locations(inputs: Inputs, yours: Tensor, target: Tensor) -> Figure:
    return points_on_levels(
        yours[0, 0], target[0, 0], inputs["reference_points"][0, 0], inputs["spatial_shapes"]
    )


# ---------------------------------------------------------------- around a box


def box_locations_by_loops(reference_boxes: Tensor, sampling_offsets: Tensor) -> Tensor:
    """The formula, one number at a time: (B, Q, M, L, K, 2)."""
    locations = torch.zeros_like(sampling_offsets)
    num_points = sampling_offsets.shape[-2]
    for (b, q, m, level, k), (step_x, step_y) in _every_offset(sampling_offsets):
        cx, cy, w, h = reference_boxes[b, q, level].tolist()
        step_x, step_y = step_x / num_points, step_y / num_points
        locations[b, q, m, level, k] = torch.tensor([cx + step_x * w / 2, cy + step_y * h / 2])
    return locations


def _around_boxes(
    steps: Callable[[Tensor, Tensor], Tensor], center: Callable[[Tensor], Tensor] = lambda box: box[..., :2]
) -> Callable[[Tensor, Tensor], Tensor]:
    """`center(box)` plus `steps(offsets, box)`, box being (B, Q, 1, L, 1, 4)."""

    def wrong(reference_boxes: Tensor, sampling_offsets: Tensor) -> Tensor:
        box = rearrange(reference_boxes, "B Q L box -> B Q 1 L 1 box")
        return center(box) + steps(sampling_offsets, box)

    return wrong


def _right_steps(offsets: Tensor, box: Tensor) -> Tensor:
    return offsets / offsets.shape[-2] * box[..., 2:] / 2


BOX_MISTAKES = (
    (
        "you divided by K only: w is the whole width, and half of it lies on each side of the center",
        _around_boxes(lambda offsets, box: offsets / offsets.shape[-2] * box[..., 2:]),
    ),
    (
        "you forgot to divide by K: an offset of K reaches the edge of the box, not an offset of 1",
        _around_boxes(lambda offsets, box: offsets * box[..., 2:] / 2),
    ),
    (
        "you multiplied by (w, h) only: the factor 0.5 / K is missing",
        _around_boxes(lambda offsets, box: offsets * box[..., 2:]),
    ),
    ("you left out the size of the box", _around_boxes(lambda offsets, box: offsets / offsets.shape[-2] / 2)),
    (
        "you divided by the number of levels: the divisor is K, the number of points",
        _around_boxes(lambda offsets, box: offsets / offsets.shape[-3] * box[..., 2:] / 2),
    ),
    (
        "you divided by the number of heads: the divisor is K, the number of points",
        _around_boxes(lambda offsets, box: offsets / offsets.shape[-4] * box[..., 2:] / 2),
    ),
    (
        "you swapped w and h: the box is (cx, cy, w, h), and w goes with x",
        _around_boxes(lambda offsets, box: offsets / offsets.shape[-2] * box[..., 2:].flip(-1) / 2),
    ),
    (
        "you took the box as (x1, y1, x2, y2): it is (cx, cy, w, h)",
        _around_boxes(
            lambda offsets, box: offsets / offsets.shape[-2] * (box[..., 2:] - box[..., :2]) / 2,
            center=lambda box: (box[..., :2] + box[..., 2:]) / 2,
        ),
    ),
    (
        "you started from the top left corner: offsets start at the center of the box",
        _around_boxes(_right_steps, center=lambda box: box[..., :2] - box[..., 2:] / 2),
    ),
    (
        "you did not add the center of the box",
        _around_boxes(_right_steps, center=lambda box: 0 * box[..., :2]),
    ),
    (
        "you subtracted the offsets: a positive offset looks to the right and down",
        _around_boxes(lambda offsets, box: -_right_steps(offsets, box)),
    ),
)


@st.composite
def _boxes_and_offsets(draw: Callable) -> dict:
    batch, queries, heads, levels, points = (draw(st.integers(1, most)) for most in (2, 1, 2, 2, 3))
    centers = draw(tensors(batch, queries, levels, 2, low=0.0, high=1.0, denominator=8, simplest=0.5))
    sizes = draw(tensors(batch, queries, levels, 2, low=0.125, high=1.0, denominator=8, simplest=0.5))
    return {
        "reference_boxes": torch.cat([centers, sizes], dim=-1),
        "sampling_offsets": draw(tensors(batch, queries, heads, levels, points, 2, simplest=1.0)),
    }


def _draw_boxes(inputs: Inputs, yours: Tensor, target: Tensor) -> Figure:
    return points_on_levels(yours[0, 0], target[0, 0], inputs["reference_boxes"][0, 0])


# ---------------------------------------------------------------- the star


def star_by_loops(num_heads: int, num_levels: int, num_points: int) -> Tensor:
    """The table, one number at a time: (M, L, K, 2)."""
    star = torch.zeros(num_heads, num_levels, num_points, 2)
    for m in range(num_heads):
        x, y = math.cos(2 * math.pi * m / num_heads), math.sin(2 * math.pi * m / num_heads)
        larger = max(abs(x), abs(y))
        for level in range(num_levels):
            for k in range(num_points):
                star[m, level, k, 0] = (k + 1) * x / larger
                star[m, level, k, 1] = (k + 1) * y / larger
    return star


def _stretch(direction: Tensor) -> Tensor:
    return direction / direction.abs().amax(-1, keepdim=True)


def _star_variant(
    angle: Callable[[int], Tensor] = lambda heads: 2 * math.pi * torch.arange(heads) / heads,
    shape: Callable[[Tensor], Tensor] = _stretch,
    reach: Callable[[Tensor, Tensor], Tensor] = lambda level, k: k + 1,
) -> Callable[[int, int, int], Tensor]:
    """The right table with one part replaced."""

    def variant(num_heads: int, num_levels: int, num_points: int) -> Tensor:
        turn = angle(num_heads)
        direction = shape(torch.stack([turn.cos(), turn.sin()], dim=-1))
        far = reach(torch.arange(num_levels)[:, None], torch.arange(num_points)) + torch.zeros(
            num_levels, num_points
        )
        return rearrange(direction, "M xy -> M 1 1 xy") * rearrange(far, "L K -> L K 1")

    return variant


def _axes_into_points(num_heads: int, num_levels: int, num_points: int) -> Tensor:
    right = star_by_loops(num_heads, num_levels, 1)[:, :, 0]
    star = torch.zeros(num_heads, num_levels, num_points, 2)
    star[:, :, 0] = right[..., :1]  # fails to mean anything, but runs
    star[:, :, 1] = right[..., 1:]
    return star


STAR_MISTAKES = (
    (
        "all points of a head have the same radius: point k lies k + 1 cells away",
        _star_variant(reach=lambda level, k: torch.ones_like(k)),
    ),
    (
        "your point k lies k cells away, so point 0 lies on the reference point: multiply by k + 1",
        _star_variant(reach=lambda level, k: k),
    ),
    (
        "the radius grows with the level: it grows with the point, and all levels are alike",
        _star_variant(reach=lambda level, k: level + 1 + 0 * k),
    ),
    (
        "you doubled the reach from level to level: in cells, all levels are alike",
        _star_variant(reach=lambda level, k: (k + 1) * 2**level),
    ),
    (
        "your directions lie on a circle: divide each by the larger of |x| and |y|",
        _star_variant(shape=lambda direction: direction),
    ),
    (
        "you divided by |x| + |y|: divide by the larger of the two",
        _star_variant(shape=lambda direction: direction / direction.abs().sum(-1, keepdim=True)),
    ),
    (
        "you wrote x and y into points 0 and 1: the last axis is (x, y), the points are the axis before it",
        _axes_into_points,
    ),
    (
        "you put (sin, cos): x is the cosine, y the sine",
        _star_variant(shape=lambda direction: _stretch(direction.flip(-1))),
    ),
    (
        "your directions cover half a circle: head m looks along 2 pi m / M",
        _star_variant(angle=lambda heads: math.pi * torch.arange(heads) / heads),
    ),
    (
        "your first and last head look the same way: head m looks along 2 pi m / M, and m ends at M - 1",
        _star_variant(angle=lambda heads: torch.linspace(0, 2 * math.pi, heads)),
    ),
    (
        "you wrote 8 heads into the angle: it is 2 pi m / M for any number of heads",
        _star_variant(angle=lambda heads: 2 * math.pi * torch.arange(heads) / 8),
    ),
    (
        "your y points up: y grows downwards, as the rows of a map do",
        _star_variant(shape=lambda direction: _stretch(direction * torch.tensor([1.0, -1.0]))),
    ),
    (
        "your axes are (M, K, L, 2): levels come before points",
        lambda num_heads, num_levels, num_points: star_by_loops(num_heads, num_levels, num_points).transpose(
            1, 2
        ),
    ),
)


def _draw_star(inputs: Inputs, yours: Tensor, target: Tensor) -> Figure:
    return star_against_target(yours[:, 0], target[:, 0])


# ---------------------------------------------------------------- the weights


def softmax_by_loops(scores: Tensor, num_heads: int, num_levels: int, num_points: int) -> Tensor:
    """The definition, one number at a time: (B, Q, M, L, K)."""
    batch, queries, _ = scores.shape
    weights = torch.zeros(batch, queries, num_heads, num_levels, num_points)
    for b in range(batch):
        for q in range(queries):
            for m in range(num_heads):
                first = m * num_levels * num_points
                of_head = [
                    math.exp(score) for score in scores[b, q, first:].tolist()[: num_levels * num_points]
                ]
                for level in range(num_levels):
                    for k in range(num_points):
                        weights[b, q, m, level, k] = of_head[level * num_points + k] / sum(of_head)
    return weights


def _weights_variant(
    turn: Callable[[Tensor], Tensor], layout: str = "B Q (M L K) -> B Q M L K"
) -> Callable[[Tensor, int, int, int], Tensor]:
    """Unfold the scores by `layout`, then turn them into weights."""

    def variant(scores: Tensor, num_heads: int, num_levels: int, num_points: int) -> Tensor:
        return turn(rearrange(scores, layout, M=num_heads, L=num_levels, K=num_points))

    return variant


def _softmax_over(*axes: int) -> Callable[[Tensor], Tensor]:
    """One softmax over several axes of (B, Q, M, L, K)."""

    def turn(scores: Tensor) -> Tensor:
        powers = scores.exp()
        return powers / powers.sum(axes, keepdim=True)

    return turn


SOFTMAX_MISTAKES = (
    (
        "you took a softmax over the points of each level: the weights of a head then sum to L, not to 1",
        _weights_variant(_softmax_over(-1)),
    ),
    (
        "you took a softmax in each level and divided by L: every level then gets the same share",
        _weights_variant(lambda scores: _softmax_over(-1)(scores) / scores.shape[-2]),
    ),
    (
        "you took a softmax over the levels for each point: it runs over levels and points together",
        _weights_variant(_softmax_over(-2)),
    ),
    (
        "you took one softmax over all heads: each head has its own",
        _weights_variant(_softmax_over(-1, -2, -3)),
    ),
    (
        "you took a softmax over the heads: it runs over levels and points",
        _weights_variant(_softmax_over(-3)),
    ),
    (
        "you took a softmax over the queries: it runs over levels and points",
        _weights_variant(_softmax_over(1)),
    ),
    ("there is no softmax: scores can have any sign and sum", _weights_variant(lambda scores: scores)),
    (
        "you took a sigmoid: the weights of a head must compete, and sum to 1",
        _weights_variant(lambda scores: scores.sigmoid()),
    ),
    (
        "you took the logarithm of the softmax",
        _weights_variant(lambda scores: _softmax_over(-1, -2)(scores).log()),
    ),
    (
        "you unfolded the last axis as (M, K, L): it is (M, L, K)",
        _weights_variant(_softmax_over(-1, -2), "B Q (M K L) -> B Q M L K"),
    ),
    (
        "you unfolded the last axis as (L, M, K): it is (M, L, K)",
        _weights_variant(_softmax_over(-1, -2), "B Q (L M K) -> B Q M L K"),
    ),
    (
        "you unfolded the last axis as (L, K, M): it is (M, L, K)",
        _weights_variant(_softmax_over(-1, -2), "B Q (L K M) -> B Q M L K"),
    ),
)


@st.composite
def _scores(draw: Callable) -> dict:
    batch, queries, heads, levels, points = (draw(st.integers(1, most)) for most in (1, 2, 2, 3, 3))
    return {
        "scores": draw(tensors(batch, queries, heads * levels * points)),
        "num_heads": heads,
        "num_levels": levels,
        "num_points": points,
    }


def _draw_weights(inputs: Inputs, yours: Tensor, target: Tensor) -> Figure:
    return bars_of_weights([("yours, head 0", yours[0, 0, 0]), ("target, head 0", target[0, 0, 0])])


# ---------------------------------------------------------------- the checks

_REFERENCES = torch.tensor([[[(0.25, 0.375), (0.25, 0.375)], [(0.75, 0.5), (0.625, 0.5)]]])  # B Q L 2
_BOXES = torch.tensor([[[(0.5, 0.5, 0.5, 0.25)] * 2, [(0.25, 0.625, 0.25, 0.5)] * 2]])  # B Q L 4

sampling_locations = Check(
    name="sampling_locations",
    reference=locations_by_loops,
    inputs=_points_and_offsets(),
    mistakes=LOCATION_MISTAKES,
    example={
        "reference_points": _REFERENCES,
        "sampling_offsets": _small_star(4, 2, 3).expand(1, 2, -1, -1, -1, -1),
        "spatial_shapes": [(4, 6), (2, 3)],
    },
    letters="(B, Q, M, L, K, 2)",
    draw=_draw_locations,
)

box_sampling_locations = Check(
    name="box_sampling_locations",
    reference=box_locations_by_loops,
    inputs=_boxes_and_offsets(),
    mistakes=BOX_MISTAKES,
    example={
        "reference_boxes": _BOXES,
        "sampling_offsets": _small_star(4, 2, 3).expand(1, 2, -1, -1, -1, -1),
    },
    letters="(B, Q, M, L, K, 2)",
    draw=_draw_boxes,
)

star_offsets = Check(
    name="star_offsets",
    reference=star_by_loops,
    inputs=st.fixed_dictionaries(
        {"num_heads": st.integers(1, 9), "num_levels": st.integers(1, 3), "num_points": st.integers(2, 4)}
    ),
    mistakes=STAR_MISTAKES,
    example={"num_heads": 8, "num_levels": 2, "num_points": 4},
    letters="(M, L, K, 2)",
    draw=_draw_star,
)

joint_softmax = Check(
    name="joint_softmax",
    reference=softmax_by_loops,
    inputs=_scores(),
    mistakes=SOFTMAX_MISTAKES,
    example={
        "scores": torch.linspace(-1, 2, 48).sin().reshape(1, 2, 24),
        "num_heads": 4,
        "num_levels": 2,
        "num_points": 3,
    },
    letters="(B, Q, M, L, K)",
    draw=_draw_weights,
)
