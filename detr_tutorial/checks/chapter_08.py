"""Checks for notebooks/08_feature_flattening.ipynb: maps in one list, and from a place in the list back.

Each check is a slow reference made of loops, random inputs, and the mistakes people make, every one with the
sentence that names it.
"""

from collections.abc import Callable, Sequence

import torch
from einops import rearrange
from hypothesis import strategies as st
from torch import Tensor

from detr_tutorial.checks._check import Check, tensors

SpatialShapes = Sequence[tuple[int, int]]
Address = tuple[Tensor, Tensor, Tensor]  # level, row and column, each (N,)

# ---------------------------------------------------------------- maps in one list


def tokens_by_loops(maps: Sequence[Tensor]) -> Tensor:
    """One cell after the other: (B, S, C)."""
    cells = []
    for level_map in maps:
        for row in range(level_map.shape[2]):
            for column in range(level_map.shape[3]):
                cells.append(level_map[:, :, row, column])
    return torch.stack(cells, dim=1)


def _laid_out(pattern: str, axis: int = 1) -> Callable[[Sequence[Tensor]], Tensor]:
    def variant(maps: Sequence[Tensor]) -> Tensor:
        return torch.cat([rearrange(level_map, f"B C H W -> {pattern}") for level_map in maps], dim=axis)

    return variant


def _reshaped(maps: Sequence[Tensor]) -> Tensor:
    batch, channels = maps[0].shape[:2]
    return torch.cat([level_map.reshape(batch, -1, channels) for level_map in maps], dim=1)


def _reshaped_at_the_end(maps: Sequence[Tensor]) -> Tensor:
    batch, channels = maps[0].shape[:2]
    return torch.cat([level_map.flatten(2) for level_map in maps], dim=2).reshape(batch, -1, channels)


def _coarsest_first(maps: Sequence[Tensor]) -> Tensor:
    return tokens_by_loops(list(reversed(maps)))


def _finest_only(maps: Sequence[Tensor]) -> Tensor:
    return tokens_by_loops(maps[:1])


FLATTEN_MISTAKES = (
    (
        "you reshaped each map without moving its channels to the end: a token mixes several cells",
        _reshaped,
    ),
    (
        "you joined the maps, then reshaped without moving the channels: a token mixes several cells",
        _reshaped_at_the_end,
    ),
    ("you went column by column: a level is laid out row by row", _laid_out("B (W H) C")),
    ("your coarsest level comes first: keep the order of the maps, finest first", _coarsest_first),
    ("your list holds the first level only: join all of them", _finest_only),
    (
        "your axes are (B, C, S): a token is a row of its channels, so the channels come last",
        _laid_out("B C (H W)", 2),
    ),
    ("your axes are (S, B, C): the batch comes first", _laid_out("(H W) B C", 0)),
    (
        "you put all images into one list: every image has its own, so keep the axis of the batch",
        _laid_out("(B H W) C", 0),
    ),
)


@st.composite
def _maps(draw: Callable) -> list[Tensor]:
    batch, channels = draw(st.integers(1, 2)), draw(st.integers(1, 3))
    sizes = draw(st.lists(st.tuples(st.integers(1, 3), st.integers(1, 4)), min_size=1, max_size=3))
    return [draw(tensors(batch, channels, *size, denominator=2)) for size in sizes]


def _numbered(batch: int, channels: int, sizes: SpatialShapes) -> list[Tensor]:
    """Maps whose numbers are all different."""
    maps, first = [], 0
    for height, width in sizes:
        count = batch * channels * height * width
        maps.append(torch.arange(first, first + count).float().reshape(batch, channels, height, width))
        first += count
    return maps


flatten_maps = Check(
    name="flatten_maps",
    reference=tokens_by_loops,
    inputs=st.fixed_dictionaries({"maps": _maps()}),
    mistakes=FLATTEN_MISTAKES,
    example={"maps": _numbered(2, 5, [(3, 4), (2, 3)])},
    letters="(B, S, C)",
)


# ---------------------------------------------------------------- from a place in the list back


def address_by_counting(tokens: Tensor, spatial_shapes: SpatialShapes) -> Address:
    """Walk through all cells in the order of the list, and note where each token stands."""
    cells = [
        (level, row, column)
        for level, (height, width) in enumerate(spatial_shapes)
        for row in range(height)
        for column in range(width)
    ]
    level, row, column = torch.tensor([cells[token] for token in tokens.tolist()]).unbind(-1)
    return level, row, column


def _starts(spatial_shapes: SpatialShapes) -> list[int]:
    starts = [0]
    for height, width in spatial_shapes:
        starts.append(starts[-1] + height * width)
    return starts


def _address(
    in_level: Callable[[int, int, int], tuple[int, ...]] = lambda place, height, width: divmod(place, width),
    place: Callable[[int, int], int] = lambda token, start: token - start,
    first_level: int = 0,
    start_is_inside: bool = True,
) -> Callable[[Tensor, SpatialShapes], Address]:
    """The right address with one part replaced; `in_level` is (row, column) by place, height, width."""

    def variant(tokens: Tensor, spatial_shapes: SpatialShapes) -> Address:
        found = []
        starts = _starts(spatial_shapes)
        for token in tokens.tolist():
            begun = [start < token or (start_is_inside and start == token) for start in starts[:-1]]
            level = max(sum(begun) - 1, 0)
            row, column = in_level(place(token, starts[level]), *spatial_shapes[level])
            found.append((level + first_level, row, column))
        level, row, column = torch.tensor(found).unbind(-1)
        return level, row, column

    return variant


def _coarsest_first_address(tokens: Tensor, spatial_shapes: SpatialShapes) -> Address:
    level, row, column = address_by_counting(tokens, spatial_shapes[::-1])
    return len(spatial_shapes) - 1 - level, row, column


def _without_levels(tokens: Tensor, spatial_shapes: SpatialShapes) -> Address:
    width = spatial_shapes[0][1]
    return torch.zeros_like(tokens), tokens // width, tokens % width


ADDRESS_MISTAKES = (
    (
        "you divided by the height: a row has W cells, so divide by the width",
        _address(lambda place, height, width: divmod(place, height)),
    ),
    (
        "you swapped row and column: the quotient is the row, the rest is the column",
        _address(lambda place, height, width: divmod(place, width)[::-1]),
    ),
    (
        "you went column by column: a level is laid out row by row",
        _address(lambda place, height, width: divmod(place, height)[::-1]),
    ),
    (
        "you did not subtract the start of the level: rows count from the first cell of their level",
        _address(place=lambda token, start: token),
    ),
    ("your levels count from 1: the finest is level 0", _address(first_level=1)),
    (
        "the first token of a level is still in the level before: a level begins at its start, not after it",
        _address(start_is_inside=False),
    ),
    ("your list begins with the coarsest level: the finest comes first", _coarsest_first_address),
    ("you took everything for one level: subtract the cells of the levels before", _without_levels),
)


@st.composite
def _tokens(draw: Callable) -> dict:
    shapes = draw(st.lists(st.tuples(st.integers(1, 4), st.integers(1, 5)), min_size=1, max_size=3))
    count = _starts(shapes)[-1]
    tokens = draw(st.lists(st.integers(0, count - 1), min_size=1, max_size=4))
    return {"tokens": torch.tensor(tokens), "spatial_shapes": shapes}


token_address = Check(
    name="token_address",
    reference=address_by_counting,
    inputs=_tokens(),
    mistakes=ADDRESS_MISTAKES,
    example={"tokens": torch.arange(33), "spatial_shapes": [(4, 6), (2, 3), (1, 3)]},
    letters="(N,)",
)


# ---------------------------------------------------------------- the patch of a token


def patch_by_counting(token: int, spatial_shapes: SpatialShapes, canvas: tuple[int, int]) -> Tensor:
    """Cut the canvas into the cells of the token's level, and count to the token: (x1, y1, x2, y2)."""
    (level,), (row,), (column,) = address_by_counting(torch.tensor([token]), spatial_shapes)
    height, width = spatial_shapes[int(level)]
    y = [canvas[0] * step / height for step in range(height + 1)]
    x = [canvas[1] * step / width for step in range(width + 1)]
    return torch.tensor([x[int(column)], y[int(row)], x[int(column) + 1], y[int(row) + 1]])


def _patch(
    box: Callable[[tuple[int, int, int, int], int, int, tuple[int, int]], list[float]],
    address: Callable[[Tensor, SpatialShapes], Address] = address_by_counting,
) -> Callable[[int, SpatialShapes, tuple[int, int]], Tensor]:
    """The patch by (x1, y1, x2, y2) in cells, height and width of the level, and canvas."""

    def variant(token: int, spatial_shapes: SpatialShapes, canvas: tuple[int, int]) -> Tensor:
        level, row, column = (int(part[0]) for part in address(torch.tensor([token]), spatial_shapes))
        height, width = spatial_shapes[level]
        return torch.tensor(box((column, row, column + 1, row + 1), height, width, canvas))

    return variant


Corners = tuple[int, int, int, int]


def _right_box(corners: Corners, height: int, width: int, canvas: Sequence[int]) -> list[float]:
    x1, y1, x2, y2 = corners
    return [x1 * canvas[1] / width, y1 * canvas[0] / height, x2 * canvas[1] / width, y2 * canvas[0] / height]


def _stride_box(corners: Corners, height: int, width: int, canvas: tuple[int, int]) -> list[float]:
    """Cells of whole pixels, as if the stride were the side of a cell."""
    steps = (-(-canvas[1] // width), -(-canvas[0] // height)) * 2
    return [float(corner * step) for corner, step in zip(corners, steps, strict=True)]


PATCH_MISTAKES = (
    (
        "you swapped the axes: x counts columns, and a box is (x1, y1, x2, y2)",
        _patch(lambda *parts: [_right_box(*parts)[index] for index in (1, 0, 3, 2)]),
    ),
    (
        "you scaled x by the height and y by the width: the canvas is (H, W), and so is the size of a level",
        _patch(lambda corners, height, width, canvas: _right_box(corners, width, height, canvas[::-1])),
    ),
    (
        "your corners are x1, x2, y1, y2: a box is (x1, y1, x2, y2)",
        _patch(lambda *parts: [_right_box(*parts)[index] for index in (0, 2, 1, 3)]),
    ),
    (
        "your box is (x, y, width, height): give both corners",
        _patch(
            lambda corners, height, width, canvas: (
                _right_box(corners, height, width, canvas)[:2] + [canvas[1] / width, canvas[0] / height]
            )
        ),
    ),
    (
        "your box is in cells of the level: multiply by the size of a cell in pixels",
        _patch(lambda corners, height, width, canvas: [float(corner) for corner in corners]),
    ),
    (
        "your box is a fraction of the canvas: multiply by its width and height",
        _patch(lambda corners, height, width, canvas: _right_box(corners, height, width, (1, 1))),
    ),
    (
        "your cells are as wide as a whole stride: the W cells of a level share the width of the canvas",
        _patch(_stride_box),
    ),
    (
        "you did not subtract the start of the level",
        _patch(_right_box, _address(place=lambda token, start: token)),
    ),
    (
        "you divided by the height of the level to find the row: a row has W cells",
        _patch(_right_box, _address(lambda place, height, width: divmod(place, height))),
    ),
)


@st.composite
def _patches(draw: Callable) -> dict:
    shapes = draw(st.lists(st.tuples(st.integers(1, 4), st.integers(1, 5)), min_size=1, max_size=3))
    return {
        "token": draw(st.integers(0, _starts(shapes)[-1] - 1)),
        "spatial_shapes": shapes,
        "canvas": (draw(st.integers(4, 20)), draw(st.integers(5, 30))),
    }


token_patch = Check(
    name="token_patch",
    reference=patch_by_counting,
    inputs=_patches(),
    mistakes=PATCH_MISTAKES,
    example={"token": 28, "spatial_shapes": [(4, 6), (2, 3)], "canvas": (30, 47)},
    letters="(x1, y1, x2, y2)",
)
