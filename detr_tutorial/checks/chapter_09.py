"""The check for notebooks/09_level_embeddings.ipynb: one vector a level, added to positions of its tokens.

The check is a slow reference made of loops, random inputs, and the mistakes people make, every one with the
sentence that names it.
"""

from collections.abc import Callable, Sequence

import torch
from hypothesis import strategies as st
from torch import Tensor

from detr_tutorial.checks._check import Check, tensors

SpatialShapes = Sequence[tuple[int, int]]


def positions_by_loops(positions: Tensor, level_embedding: Tensor, spatial_shapes: SpatialShapes) -> Tensor:
    """Walk through all cells in the order of the list, and add the vector of their level: (B, S, C)."""
    answer = positions.clone()
    token = 0
    for level, (height, width) in enumerate(spatial_shapes):
        for _ in range(height * width):
            answer[:, token] += level_embedding[level]
            token += 1
    return answer


def _level_of(spatial_shapes: SpatialShapes, begins_late: bool = False) -> Tensor:
    counts = torch.tensor([height * width for height, width in spatial_shapes])
    level = torch.repeat_interleave(torch.arange(len(spatial_shapes)), counts)
    return torch.cat([level[:1], level[:-1]]) if begins_late else level


def _even_parts(spatial_shapes: SpatialShapes) -> Tensor:
    """As if all levels had equally many cells."""
    token = torch.arange(len(_level_of(spatial_shapes)))
    return token * len(spatial_shapes) // len(token)


def _by_remainder(spatial_shapes: SpatialShapes) -> Tensor:
    return torch.arange(len(_level_of(spatial_shapes))) % len(spatial_shapes)


def _added(
    level_of: Callable[[SpatialShapes], Tensor] = _level_of,
    join: Callable[[Tensor, Tensor], Tensor] = torch.add,
) -> Callable[[Tensor, Tensor, SpatialShapes], Tensor]:
    """The answer with one part replaced; `join` takes the positions and the vector of each token."""

    def variant(positions: Tensor, level_embedding: Tensor, spatial_shapes: SpatialShapes) -> Tensor:
        return join(positions, level_embedding[level_of(spatial_shapes)])

    return variant


def _nothing_added(positions: Tensor, vectors: Tensor) -> Tensor:
    return positions


LEVEL_MISTAKES = (
    ("you returned the positions as they came: add the vector of the level", _added(join=_nothing_added)),
    (
        "you returned the vectors of the levels without the positions: add both",
        _added(join=lambda positions, vectors: vectors.expand_as(positions)),
    ),
    ("you multiplied: the level embedding is added", _added(join=torch.mul)),
    ("you subtracted: the level embedding is added", _added(join=torch.sub)),
    ("you joined them side by side: add them, so that C stays C", _added(join=lambda p, v: _beside(p, v))),
    (
        "you added the vector of the finest level everywhere: each level has its own",
        _added(lambda shapes: torch.zeros_like(_level_of(shapes))),
    ),
    (
        "you began with the coarsest level: the list begins with the finest",
        _added(lambda shapes: len(shapes) - 1 - _level_of(shapes)),
    ),
    (
        "you cut the list into equal parts: level l has H_l W_l tokens",
        _added(_even_parts),
    ),
    (
        "your levels take turns from token to token: all tokens of a level stand together",
        _added(_by_remainder),
    ),
    (
        "the first token of a level still has the vector of the level before",
        _added(lambda shapes: _level_of(shapes, begins_late=True)),
    ),
    (
        "you added all vectors to every token: each token gets the vector of its own level",
        lambda positions, level_embedding, shapes: positions + level_embedding.sum(0),
    ),
)


def _beside(positions: Tensor, vectors: Tensor) -> Tensor:
    return torch.cat([positions, vectors.expand_as(positions)], dim=-1)


@st.composite
def _inputs(draw: Callable) -> dict:
    sizes = st.tuples(st.integers(1, 2), st.integers(1, 3))
    shapes = draw(st.lists(sizes, min_size=1, max_size=3))
    batch, channels = draw(st.integers(1, 2)), draw(st.integers(1, 3))
    count = sum(height * width for height, width in shapes)
    return {
        "positions": draw(tensors(batch, count, channels, denominator=2)),
        "level_embedding": draw(tensors(len(shapes), channels, denominator=2, simplest=1.0)),
        "spatial_shapes": shapes,
    }


level_positions = Check(
    name="level_positions",
    reference=positions_by_loops,
    inputs=_inputs(),
    mistakes=LEVEL_MISTAKES,
    example={
        "positions": torch.arange(2.0 * 20 * 5).reshape(2, 20, 5) / 8,
        "level_embedding": torch.tensor([0.5, -1.0, 2.0])[:, None] + torch.arange(5) / 4,
        "spatial_shapes": [(3, 4), (2, 3), (1, 2)],
    },
    letters="(B, S, C)",
)
