"""The exercises of notebooks/14_decoder.ipynb: what an object query begins with, and counting duplicates."""

import math
from collections.abc import Callable

import torch
from einops import repeat
from hypothesis import strategies as st
from matplotlib.figure import Figure
from torch import Tensor

from detr_tutorial.checks._check import Check, Inputs, Number, tensors
from detr_tutorial.plots.chapter_14 import points_against_target

# ---------------------------------------------------------------- what an object query begins with


def object_queries_by_loops(
    embedding: Tensor, weight: Tensor, bias: Tensor, valid_ratios: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Positions (Q, C), contents (Q, C), and reference points (B, Q, L, 2), one number at a time."""
    queries, both = embedding.shape
    channels = both // 2
    batch, levels, _ = valid_ratios.shape
    positions = torch.zeros(queries, channels)
    contents = torch.zeros(queries, channels)
    references = torch.zeros(batch, queries, levels, 2)
    for q in range(queries):
        for c in range(channels):
            positions[q, c] = embedding[q, c]
            contents[q, c] = embedding[q, channels + c]
        for axis in range(2):
            logit = float(bias[axis])
            for c in range(channels):
                logit += float(weight[axis, c]) * float(positions[q, c])
            for b in range(batch):
                for level in range(levels):
                    place = 1 / (1 + math.exp(-logit))
                    references[b, q, level, axis] = place * float(valid_ratios[b, level, axis])
    return positions, contents, references


Begin = Callable[[Tensor, Tensor, Tensor, Tensor], tuple[Tensor, Tensor, Tensor]]


def _begin(
    *,
    halves: Callable[[Tensor], tuple[Tensor, Tensor]] = lambda embedding: embedding.chunk(2, dim=-1),  # type: ignore[assignment]
    source: Callable[[Tensor, Tensor], Tensor] = lambda positions, contents: positions,
    squash: Callable[[Tensor], Tensor] = torch.sigmoid,
    use_bias: bool = True,
    on_levels: Callable[[Tensor, Tensor], Tensor] = lambda points, ratios: points * ratios,
) -> Begin:
    """The right beginning with one step done otherwise; points and ratios come as (B, Q, L, 2)."""

    def begin(
        embedding: Tensor, weight: Tensor, bias: Tensor, valid_ratios: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        positions, contents = halves(embedding)
        points = squash(source(positions, contents) @ weight.T + (bias if use_bias else 0))
        batch, levels, _ = valid_ratios.shape
        points = repeat(points, "Q xy -> B Q L xy", B=batch, L=levels)
        ratios = repeat(valid_ratios, "B L xy -> B Q L xy", Q=len(embedding))
        return positions, contents, on_levels(points, ratios)

    return begin


def _swapped(embedding: Tensor) -> tuple[Tensor, Tensor]:
    contents, positions = embedding.chunk(2, dim=-1)
    return positions, contents


def _interleaved(embedding: Tensor) -> tuple[Tensor, Tensor]:
    return embedding[:, 0::2], embedding[:, 1::2]


def _of_last_level(points: Tensor, ratios: Tensor) -> Tensor:
    return points * ratios[:, :, :1]


BEGIN_MISTAKES: tuple[tuple[str, Begin], ...] = (
    ("you swapped the halves: the first is the position, the second the content", _begin(halves=_swapped)),
    (
        "you took every other channel: the halves are the first C and the last C channels",
        _begin(halves=_interleaved),
    ),
    (
        "you computed references from the content: they come from the position",
        _begin(source=lambda positions, contents: contents),
    ),
    (
        "you computed references from position and content together: they come from the position",
        _begin(source=lambda positions, contents: positions + contents),
    ),
    (
        "you computed references from zeros: then all queries share one point",
        _begin(source=lambda positions, contents: torch.zeros_like(positions)),
    ),
    ("you left out the sigmoid: references lie in [0, 1]", _begin(squash=lambda logits: logits)),
    ("you clipped instead of a sigmoid", _begin(squash=lambda logits: logits.clamp(0, 1))),
    ("you left out the bias", _begin(use_bias=False)),
    (
        "you left out the valid ratios: 1 is the edge of the picture, not of the padded map",
        _begin(on_levels=lambda points, ratios: points),
    ),
    (
        "you divided by the valid ratios: the picture is the smaller part of the map, so multiply",
        _begin(on_levels=lambda points, ratios: points / ratios),
    ),
    (
        "you took the valid ratios as (y, x): they are (x, y), like the points",
        _begin(on_levels=lambda points, ratios: points * ratios.flip(-1)),
    ),
    (
        "you took the valid ratio of the first level for all levels: each has its own",
        _begin(on_levels=_of_last_level),
    ),
    (
        "you took the valid ratios of the first image for all images",
        _begin(on_levels=lambda points, ratios: points * ratios[:1]),
    ),
    (
        "your references are (y, x): they are (x, y)",
        _begin(on_levels=lambda points, ratios: (points * ratios).flip(-1)),
    ),
)


@st.composite
def _begin_inputs(draw: Callable) -> dict:
    batch, queries, levels, channels = (draw(st.integers(1, most)) for most in (2, 3, 3, 3))
    return {
        "embedding": draw(tensors(queries, 2 * channels, simplest=1.0)),
        "weight": draw(tensors(2, channels, simplest=1.0)),
        "bias": draw(tensors(2)),
        "valid_ratios": draw(tensors(batch, levels, 2, low=0.25, high=1.0, denominator=8, simplest=1.0)),
    }


def _draw_references(inputs: Inputs, yours: tuple, target: tuple) -> Figure:
    return points_against_target(torch.as_tensor(yours[2])[0].float(), target[2][0])


def _wave(*shape: int, step: float) -> Tensor:
    return (torch.arange(math.prod(shape)) * step).sin().reshape(shape)


object_queries = Check(
    name="object_queries",
    reference=object_queries_by_loops,
    inputs=_begin_inputs(),
    mistakes=BEGIN_MISTAKES,
    example={
        "embedding": _wave(5, 6, step=1.3) * 2,
        "weight": _wave(2, 3, step=0.9),
        "bias": torch.tensor([0.5, -0.25]),
        "valid_ratios": torch.tensor([[[1.0, 0.5], [0.875, 0.5]], [[0.5, 1.0], [0.5, 0.75]]]),
    },
    letters="(B, Q, L, 2)",
    draw=_draw_references,
)


# ---------------------------------------------------------------- counting duplicates


def _overlap(one: list[float], other: list[float]) -> float:
    """IoU of two boxes (x1, y1, x2, y2)."""
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    common = max(width, 0.0) * max(height, 0.0)
    areas = sum((box[2] - box[0]) * (box[3] - box[1]) for box in (one, other))
    return common / (areas - common) if areas > common else 0.0


def count_duplicates_by_loops(boxes: Tensor, scores: Tensor, threshold: Number) -> int:
    """Go from the surest answer down; one that overlaps a kept one by more than threshold is a duplicate."""
    corners = boxes.tolist()
    kept: list[int] = []
    for i in sorted(range(len(corners)), key=lambda i: -float(scores[i])):
        if all(_overlap(corners[i], corners[k]) <= threshold for k in kept):
            kept.append(i)
    return len(corners) - len(kept)


CountDuplicates = Callable[[Tensor, Tensor, Number], int]


def _in_another_order(order: Callable[[list[int], Tensor], list[int]]) -> CountDuplicates:
    def count(boxes: Tensor, scores: Tensor, threshold: Number) -> int:
        indices = order(list(range(len(boxes))), scores)
        return count_duplicates_by_loops(
            boxes[indices], torch.arange(len(boxes), 0, -1, dtype=torch.float32), threshold
        )

    return count


def _count_pairs(boxes: Tensor, scores: Tensor, threshold: Number) -> int:
    corners = boxes.tolist()
    number = range(len(corners))
    return sum(_overlap(corners[i], corners[j]) > threshold for i in number for j in number if i < j)


def _count_overlapping(boxes: Tensor, scores: Tensor, threshold: Number) -> int:
    corners = boxes.tolist()
    number = range(len(corners))
    return sum(any(_overlap(corners[i], corners[j]) > threshold for j in number if j != i) for i in number)


def _count_all_better(boxes: Tensor, scores: Tensor, threshold: Number) -> int:
    corners = boxes[scores.argsort(descending=True, stable=True)].tolist()
    number = range(len(corners))
    return sum(any(_overlap(corners[i], corners[j]) > threshold for j in range(i)) for i in number)


def _count_kept(boxes: Tensor, scores: Tensor, threshold: Number) -> int:
    return len(boxes) - count_duplicates_by_loops(boxes, scores, threshold)


def _as_centers(boxes: Tensor, scores: Tensor, threshold: Number) -> int:
    """As if the corners were (cx, cy, w, h)."""
    half = boxes[:, 2:] / 2
    return count_duplicates_by_loops(
        torch.cat([boxes[:, :2] - half, boxes[:, :2] + half], 1), scores, threshold
    )


DUPLICATE_MISTAKES: tuple[tuple[str, CountDuplicates], ...] = (
    ("you counted pairs: three answers on one object are two duplicates, not three", _count_pairs),
    (
        "you counted the best answer as well: one of those that overlap is no duplicate",
        _count_overlapping,
    ),
    (
        "you compared with every surer answer: compare with those that were kept, a duplicate hides no one",
        _count_all_better,
    ),
    ("you counted the answers that are kept", _count_kept),
    (
        "you went in the order of the list: go from the surest answer down",
        _in_another_order(lambda indices, scores: indices),
    ),
    (
        "you went from the least sure answer up: go from the surest down",
        _in_another_order(lambda indices, scores: sorted(indices, key=lambda i: float(scores[i]))),
    ),
    (
        "you took the boxes as (cx, cy, w, h): they are corners, (x1, y1, x2, y2)",
        _as_centers,
    ),
)


@st.composite
def _answers(draw: Callable) -> dict:
    number = draw(st.integers(1, 5))
    left = draw(tensors(number, 1, low=0, high=4, denominator=1))  # in a row: chains of overlaps
    corner = torch.cat([left, draw(tensors(number, 1, low=0, high=1, denominator=1))], 1)
    size = draw(tensors(number, 2, low=5, high=6, denominator=1, simplest=6.0))
    order = draw(st.permutations(range(number)))
    return {
        "boxes": torch.cat([corner, corner + size], 1),
        "scores": torch.tensor([(rank + 1.0) / (number + 1) for rank in order]),
        "threshold": draw(st.sampled_from((0.55, 0.3, 0.7))),  # no overlap of these boxes lies on them
    }


count_duplicates = Check(
    name="count_duplicates",
    reference=count_duplicates_by_loops,
    inputs=_answers(),
    mistakes=DUPLICATE_MISTAKES,
    example={
        # A chain: the first overlaps the two others, which do not overlap enough; and two on another place.
        "boxes": torch.tensor(
            [[3.0, 0, 13, 10], [0, 0, 10, 10], [6, 0, 16, 10], [30, 5, 40, 9], [30, 5, 40, 10]]
        ),
        "scores": torch.tensor([0.8, 0.9, 0.6, 0.3, 0.5]),
        "threshold": 0.5,
    },
    num_inputs=60,
)
