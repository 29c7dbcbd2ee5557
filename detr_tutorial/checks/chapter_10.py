"""Checks for notebooks/10_reference_points.ipynb: cell centers, encoder and decoder reference points.

Each check is a slow reference made of loops, random inputs, and the mistakes people make, every one with the
sentence that names it.
"""

from collections.abc import Callable, Sequence

import torch
from hypothesis import strategies as st
from matplotlib.figure import Figure
from torch import Tensor

from detr_tutorial.checks._check import Check, Inputs, tensors
from detr_tutorial.plots.chapter_10 import your_points

SpatialShapes = Sequence[tuple[int, int]]


# ---------------------------------------------------------------- the centers of one level


def centers_by_loops(height: int, width: int) -> Tensor:
    """Row by row, the center (x, y) of every cell: (H W, 2), 0 and 1 at the outer edges."""
    return torch.tensor(
        [((column + 0.5) / width, (row + 0.5) / height) for row in range(height) for column in range(width)]
    )


def _wrong_centers(
    point: Callable[[int, int, int, int], tuple[float, float]],
) -> Callable[[int, int], Tensor]:
    """Row by row, with another formula for a cell's point."""

    def wrong(height: int, width: int) -> Tensor:
        cells = [(row, column) for row in range(height) for column in range(width)]
        return torch.tensor([point(row, column, height, width) for row, column in cells])

    return wrong


def _column_by_column(height: int, width: int) -> Tensor:
    cells = [(row, column) for column in range(width) for row in range(height)]
    return torch.tensor([((column + 0.5) / width, (row + 0.5) / height) for row, column in cells])


PIXEL_CENTER_MISTAKES = (
    (
        "you divided x by H and y by W: x runs along the width, so it is x / W and y / H",
        _wrong_centers(lambda row, column, height, width: ((column + 0.5) / height, (row + 0.5) / width)),
    ),
    (
        "the half cell is missing: column i has its center at i + 0.5, not at its left edge i",
        _wrong_centers(lambda row, column, height, width: (column / width, row / height)),
    ),
    (
        "you put the first and last center on the edges of the map (align_corners=True): "
        "it is (i + 0.5) / W, not i / (W - 1)",
        _wrong_centers(lambda row, column, height, width: (column / (width - 1), row / (height - 1))),
    ),
    (
        "you added the half cell but divided by W - 1: a map of W cells is W cells wide",
        _wrong_centers(
            lambda row, column, height, width: ((column + 0.5) / (width - 1), (row + 0.5) / (height - 1))
        ),
    ),
    (
        "your tokens run column by column: a map is flattened row by row, so x changes fastest",
        _column_by_column,
    ),
    (
        "your points are (y, x): points are (x, y), only sizes are (H, W)",
        _wrong_centers(lambda row, column, height, width: ((row + 0.5) / height, (column + 0.5) / width)),
    ),
    (
        "your centers are still in cells: divide x by W and y by H",
        _wrong_centers(lambda row, column, height, width: (column + 0.5, row + 0.5)),
    ),
    (
        "your centers are pixel coordinates (0, 1, 2, ...): add half a cell and divide by the size",
        _wrong_centers(lambda row, column, height, width: (column, row)),
    ),
)


def _draw_centers(inputs: Inputs, yours: Tensor, target: Tensor) -> Figure:
    return your_points(yours, target, (inputs["height"], inputs["width"]))


pixel_centers = Check(
    name="pixel_centers",
    reference=centers_by_loops,
    inputs=st.fixed_dictionaries({"height": st.integers(2, 7), "width": st.integers(2, 7)}),
    mistakes=PIXEL_CENTER_MISTAKES,
    example={"height": 4, "width": 6},
    letters="(H W, 2)",
    draw=_draw_centers,
)


# ---------------------------------------------------------------- the encoder's reference points


def encoder_points_by_loops(spatial_shapes: SpatialShapes, valid_ratios: Tensor) -> Tensor:
    """The formula, one number at a time: (B, S, L, 2)."""
    images = []
    for ratios in valid_ratios.tolist():
        tokens = []
        for (own_x, own_y), (height, width) in zip(ratios, spatial_shapes, strict=True):
            for row in range(height):
                for column in range(width):
                    x, y = (column + 0.5) / width / own_x, (row + 0.5) / height / own_y
                    tokens.append([(x * target_x, y * target_y) for target_x, target_y in ratios])
        images.append(tokens)
    return torch.tensor(images)


def _with_centers(centers: Callable[[int, int], Tensor]) -> Callable[[SpatialShapes, Tensor], Tensor]:
    """Right about padding, wrong about the centers of a level."""

    def wrong(spatial_shapes: SpatialShapes, valid_ratios: Tensor) -> Tensor:
        levels = [
            centers(height, width) / valid_ratios[:, None, level]
            for level, (height, width) in enumerate(spatial_shapes)
        ]
        return torch.cat(levels, dim=1)[:, :, None] * valid_ratios[:, None]

    return wrong


def _own_ratio_of_each_token(spatial_shapes: SpatialShapes, valid_ratios: Tensor) -> Tensor:
    """The ratio (x, y) of the level that each token comes from: (B, S, 1, 2)."""
    cells = torch.tensor([height * width for height, width in spatial_shapes])
    return valid_ratios.repeat_interleave(cells, dim=1)[:, :, None]


def _without_division(spatial_shapes: SpatialShapes, valid_ratios: Tensor) -> Tensor:
    right = encoder_points_by_loops(spatial_shapes, valid_ratios)
    return right * _own_ratio_of_each_token(spatial_shapes, valid_ratios)


def _without_multiplication(spatial_shapes: SpatialShapes, valid_ratios: Tensor) -> Tensor:
    return encoder_points_by_loops(spatial_shapes, valid_ratios) / valid_ratios[:, None]


def _without_ratios(spatial_shapes: SpatialShapes, valid_ratios: Tensor) -> Tensor:
    return encoder_points_by_loops(spatial_shapes, torch.ones_like(valid_ratios))


def _divided_by_the_target(spatial_shapes: SpatialShapes, valid_ratios: Tensor) -> Tensor:
    own = _own_ratio_of_each_token(spatial_shapes, valid_ratios)
    return _without_ratios(spatial_shapes, valid_ratios) * own / valid_ratios[:, None]


def _ratios_as_height_width(spatial_shapes: SpatialShapes, valid_ratios: Tensor) -> Tensor:
    return encoder_points_by_loops(spatial_shapes, valid_ratios.flip(-1))


def _coarsest_level_first(spatial_shapes: SpatialShapes, valid_ratios: Tensor) -> Tensor:
    right = encoder_points_by_loops(spatial_shapes, valid_ratios)
    levels = right.split([height * width for height, width in spatial_shapes], dim=1)
    return torch.cat(levels[::-1], dim=1)


ENCODER_MISTAKES = (
    *((sentence, _with_centers(centers)) for sentence, centers in PIXEL_CENTER_MISTAKES),
    (
        "you did not divide by the valid ratio of the token's own level: its center is still a fraction of "
        "the padded map, not of the picture",
        _without_division,
    ),
    (
        "you did not multiply by the valid ratio of the target level: the point is still a fraction of the "
        "picture, but it is read from a padded map",
        _without_multiplication,
    ),
    (
        "the valid ratios cancel: every token has the same point on all levels. Divide by the ratio of the "
        "token's own level, then multiply by the ratio of the level it looks at, not by its own again",
        _without_ratios,
    ),
    (
        "you swapped the two ratios: divide by the token's own level, multiply by the target level",
        _divided_by_the_target,
    ),
    (
        "you took the valid ratios as (height, width): they are (x, y), the width first",
        _ratios_as_height_width,
    ),
    (
        "your levels come coarsest first: tokens are stored finest level first",
        _coarsest_level_first,
    ),
)


@st.composite
def _levels_and_ratios(draw: Callable) -> dict:
    """One to three levels of at least 2 x 2 cells, one or two images, every valid part at least one cell."""
    num_levels, batch = draw(st.integers(1, 3)), draw(st.integers(1, 2))
    side = st.integers(2, 5)
    shapes = tuple((draw(side), draw(side)) for _ in range(num_levels))
    ratios = [
        [
            (draw(st.integers(1, width)) / width, draw(st.integers(1, height)) / height)
            for height, width in shapes
        ]
        for _ in range(batch)
    ]
    return {"spatial_shapes": shapes, "valid_ratios": torch.tensor(ratios)}


def _draw_encoder_points(inputs: Inputs, yours: Tensor, target: Tensor) -> Figure:
    """The finest level's tokens of the last image, on the finest level."""
    height, width = inputs["spatial_shapes"][0]
    tokens = height * width
    return your_points(yours[-1, :tokens, 0], target[-1, :tokens, 0], (height, width))


encoder_reference_points = Check(
    name="encoder_reference_points",
    reference=encoder_points_by_loops,
    inputs=_levels_and_ratios(),
    mistakes=ENCODER_MISTAKES,
    example={
        "spatial_shapes": ((4, 6), (2, 3)),
        "valid_ratios": torch.tensor([[(1.0, 1.0), (1.0, 1.0)], [(5 / 6, 3 / 4), (1.0, 1.0)]]),
    },
    letters="(B, S, L, 2)",
    draw=_draw_encoder_points,
)


# ---------------------------------------------------------------- the decoder's reference points


def decoder_points_by_loops(
    query_embedding: Tensor, weight: Tensor, bias: Tensor, valid_ratios: Tensor
) -> Tensor:
    """Sigmoid of a linear layer of the position half, times each level's ratio: (B, Q, L, 2)."""
    d_model = query_embedding.shape[1] // 2
    images = []
    for ratios in valid_ratios:
        rows = []
        for embedding in query_embedding:
            position = embedding[:d_model]
            point = torch.stack([(weight[axis] * position).sum() + bias[axis] for axis in range(2)]).sigmoid()
            rows.append(torch.stack([point * ratio for ratio in ratios]))
        images.append(torch.stack(rows))
    return torch.stack(images)


def _decoder_variant(
    half: int = 0,
    squash: Callable[[Tensor], Tensor] = torch.sigmoid,
    place: Callable[[Tensor, Tensor], Tensor] = torch.mul,
    with_bias: bool = True,
) -> Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]:
    """The right answer with one part replaced."""

    def variant(query_embedding: Tensor, weight: Tensor, bias: Tensor, valid_ratios: Tensor) -> Tensor:
        position = query_embedding.chunk(2, dim=-1)[half]
        logits = position @ weight.T + (bias if with_bias else 0)
        return place(squash(logits)[None, :, None], valid_ratios[:, None])

    return variant


DECODER_MISTAKES = (
    (
        "you used the content half of the query: the reference point comes from the position half, the first",
        _decoder_variant(half=1),
    ),
    (
        "the sigmoid is missing: a linear layer's output can lie anywhere, a fraction lies between 0 and 1",
        _decoder_variant(squash=lambda logits: logits),
    ),
    (
        "you did not multiply by the valid ratios: the point is a fraction of the picture, but it is read "
        "from padded maps",
        _decoder_variant(
            place=lambda point, ratios: point.expand(*ratios.shape[:1], -1, ratios.shape[2], -1)
        ),
    ),
    (
        "you divided by the valid ratios: a fraction of the picture becomes a fraction of the padded map by "
        "multiplying",
        _decoder_variant(place=torch.div),
    ),
    (
        "you took the valid ratios as (height, width): they are (x, y), the width first",
        _decoder_variant(place=lambda point, ratios: point * ratios.flip(-1)),
    ),
    (
        "you applied the sigmoid after the valid ratios: first the sigmoid, then the ratio",
        _decoder_variant(
            squash=lambda logits: logits, place=lambda point, ratios: (point * ratios).sigmoid()
        ),
    ),
    (
        "you used a softmax: x and y are two separate fractions, each with its own sigmoid",
        _decoder_variant(squash=lambda logits: logits.softmax(-1)),
    ),
    (
        "the bias of the linear layer is missing",
        _decoder_variant(with_bias=False),
    ),
)


@st.composite
def _queries_and_ratios(draw: Callable) -> dict:
    batch, queries, levels, d_model = (draw(st.integers(1, most)) for most in (2, 3, 2, 2))
    return {
        "query_embedding": draw(tensors(queries, 2 * d_model)),
        "weight": draw(tensors(2, d_model)),
        "bias": draw(tensors(2)),
        "valid_ratios": draw(tensors(batch, levels, 2, low=0.25, high=1.0)),
    }


decoder_reference_points = Check(
    name="decoder_reference_points",
    reference=decoder_points_by_loops,
    inputs=_queries_and_ratios(),
    mistakes=DECODER_MISTAKES,
    example={
        "query_embedding": torch.tensor(
            [[0.5, -1.0, 1.5, 2.0], [-1.0, 0.25, 0.5, -0.5], [2.0, 1.0, -0.5, 0.75]]
        ),
        "weight": torch.tensor([[1.0, -0.5], [0.25, 0.75]]),
        "bias": torch.tensor([0.5, -0.25]),
        "valid_ratios": torch.tensor([[(1.0, 1.0), (1.0, 1.0)], [(5 / 6, 3 / 4), (1.0, 0.5)]]),
    },
    letters="(B, Q, L, 2)",
)
