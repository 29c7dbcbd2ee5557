"""The exercises of notebooks/16_two_stage.ipynb: a box around every cell, and a code for every box."""

import math
from collections.abc import Callable, Sequence

import torch
from hypothesis import strategies as st
from matplotlib.figure import Figure
from torch import Tensor

from detr_tutorial.checks._check import Check, Inputs, tensors
from detr_tutorial.plots.chapter_16 import boxes_against_target

SpatialShapes = Sequence[tuple[int, int]]


# ---------------------------------------------------------------- a box around every cell


def _grid(
    spatial_shapes: SpatialShapes,
    valid_ratios: Tensor,
    size: Callable[[int, int, int], tuple[float, float]] = lambda level, height, width: (
        (0.05 * 2**level,) * 2
    ),
    half: float = 0.5,
    whole: bool = False,
    ratio_axis: tuple[int, int] = (0, 1),
    by_columns: bool = False,
) -> Tensor:
    """Boxes around cells, one number at a time: (B, S, 4); the keywords are the ways to get it wrong."""
    boxes = []
    for ratios in valid_ratios.tolist():
        for level, (height, width) in enumerate(spatial_shapes):
            ratio_x, ratio_y = (1.0, 1.0) if whole else (ratios[level][axis] for axis in ratio_axis)
            places = [(row, column) for row in range(height) for column in range(width)]
            for row, column in sorted(places, key=lambda place: place[::-1]) if by_columns else places:
                x, y = (column + half) / (width * ratio_x), (row + half) / (height * ratio_y)
                boxes.append([x, y, *size(level, height, width)])
    return torch.tensor(boxes).reshape(len(valid_ratios), -1, 4)


def grid_proposals_by_loops(spatial_shapes: SpatialShapes, valid_ratios: Tensor) -> Tensor:
    """The definition, one number at a time: (B, S, 4)."""
    return _grid(spatial_shapes, valid_ratios)


def _wrong_grid(**changes: object) -> Callable[[SpatialShapes, Tensor], Tensor]:
    return lambda spatial_shapes, valid_ratios: _grid(spatial_shapes, valid_ratios, **changes)  # type: ignore


def _swapped(spatial_shapes: SpatialShapes, valid_ratios: Tensor) -> Tensor:
    return _grid(spatial_shapes, valid_ratios)[..., [1, 0, 2, 3]]


def _corners(spatial_shapes: SpatialShapes, valid_ratios: Tensor) -> Tensor:
    boxes = _grid(spatial_shapes, valid_ratios)
    return torch.cat([boxes[..., :2] - boxes[..., 2:] / 2, boxes[..., :2] + boxes[..., 2:] / 2], dim=-1)


def _on_padded_map(spatial_shapes: SpatialShapes, valid_ratios: Tensor) -> Tensor:
    boxes = _grid(spatial_shapes, valid_ratios)
    ratios = [
        valid_ratios[:, level : level + 1].expand(-1, height * width, -1)
        for level, (height, width) in enumerate(spatial_shapes)
    ]
    return torch.cat([boxes[..., :2] * torch.cat(ratios, dim=1) ** 2, boxes[..., 2:]], dim=-1)


GRID_MISTAKES = (
    (
        "all your boxes have one size: it doubles from level to level",
        _wrong_grid(size=lambda level, height, width: (0.05, 0.05)),
    ),
    (
        "your sizes grow by 0.05 a level: they double",
        _wrong_grid(size=lambda level, height, width: (0.05 * (level + 1),) * 2),
    ),
    (
        "your sizes begin with 0.1: on the finest level they are 0.05",
        _wrong_grid(size=lambda level, height, width: (0.1 * 2**level,) * 2),
    ),
    (
        "your coarsest level has the smallest boxes: levels come finest first",
        lambda spatial_shapes, valid_ratios: _grid(
            spatial_shapes,
            valid_ratios,
            size=lambda level, height, width: (0.05 * 2 ** (len(spatial_shapes) - 1 - level),) * 2,
        ),
    ),
    (
        "your boxes are one cell large: they are 0.05 of the picture, whatever the size of the map",
        _wrong_grid(size=lambda level, height, width: (1 / width, 1 / height)),
    ),
    ("your boxes sit on the corners of cells: a center is half a cell further", _wrong_grid(half=0.0)),
    ("your boxes are one half cell too far: count cells from 0", _wrong_grid(half=1.0)),
    (
        "your centers are fractions of the padded map: divide by the valid part, W times the ratio",
        _wrong_grid(whole=True),
    ),
    ("you multiplied by the valid ratio: divide, so that 1 is the edge of the picture", _on_padded_map),
    ("you swapped the valid ratios: they are (x, y)", _wrong_grid(ratio_axis=(1, 0))),
    ("you put y before x: a box is (cx, cy, w, h)", _swapped),
    ("you went through each level column by column: tokens stand row by row", _wrong_grid(by_columns=True)),
    ("your boxes are corners: they are (cx, cy, w, h)", _corners),
)


@st.composite
def _maps(draw: Callable) -> dict:
    batch, levels = draw(st.integers(1, 2)), draw(st.integers(2, 3))
    shapes = [(draw(st.integers(1, 4)), draw(st.integers(1, 4))) for _ in range(levels)]
    ratios = tensors(batch, levels, 2, low=0.5, high=1.0, denominator=4, simplest=1.0)
    return {"spatial_shapes": shapes, "valid_ratios": draw(ratios)}


def _draw_grid(inputs: Inputs, yours: Tensor, target: Tensor) -> Figure:
    height, width = inputs["spatial_shapes"][0]
    last = height * width  # four boxes of the first level, and four of the next
    chosen = [*range(min(4, last)), *range(last, min(last + 4, target.shape[1]))]
    return boxes_against_target(yours[0, chosen], target[0, chosen])


# ---------------------------------------------------------------- a code for every box


def encode_boxes_by_loops(boxes: Tensor, num_features: int) -> Tensor:
    """The definition, one number at a time: (B, Q, 4 F)."""
    return _codes(boxes, num_features)


def _codes(
    boxes: Tensor,
    num_features: int,
    order: Sequence[int] = (0, 1, 2, 3),
    turn: float = 2 * math.pi,
    exponent: Callable[[int, int], float] = lambda pair, features: 2 * pair / features,
    temperature: float = 10000.0,
    cosine_first: bool = False,
    apart: bool = False,
) -> Tensor:
    codes = []
    for box in boxes.flatten(0, 1).tolist():
        code = []
        for number in order:
            sines, cosines = [], []
            for pair in range(num_features // 2):
                angle = box[number] * turn / temperature ** exponent(pair, num_features)
                sines.append(math.sin(angle))
                cosines.append(math.cos(angle))
            first, second = (cosines, sines) if cosine_first else (sines, cosines)
            taken = zip(first, second, strict=True)
            code += [*first, *second] if apart else [wave for both in taken for wave in both]
        codes.append(code)
    return torch.tensor(codes).reshape(*boxes.shape[:2], -1)


def _wrong_codes(**changes: object) -> Callable[[Tensor, int], Tensor]:
    return lambda boxes, num_features: _codes(boxes, num_features, **changes)  # type: ignore


CODE_MISTAKES = (
    (
        "you put y before x, as position encodings of maps do: here the order is cx, cy, w, h",
        _wrong_codes(order=(1, 0, 2, 3)),
    ),
    (
        "you put y before x and h before w: the order is cx, cy, w, h",
        _wrong_codes(order=(1, 0, 3, 2)),
    ),
    ("you put the size before the center: the order is cx, cy, w, h", _wrong_codes(order=(2, 3, 0, 1))),
    ("you left out the factor 2 pi: the whole picture is one turn", _wrong_codes(turn=1.0)),
    ("a whole picture is half a turn in your code: the factor is 2 pi", _wrong_codes(turn=math.pi)),
    ("you put all sines before all cosines: they take turns", _wrong_codes(apart=True)),
    ("you put the cosine before the sine", _wrong_codes(cosine_first=True)),
    (
        "your exponent grows half as fast: pair i has 2 i / F",
        _wrong_codes(exponent=lambda pair, features: pair / features),
    ),
    (
        "you divided the exponent by 4 F: it is 2 i / F, F the features of one number",
        _wrong_codes(exponent=lambda pair, features: 2 * pair / (4 * features)),
    ),
    ("your temperature is 20: it is 10000 here", _wrong_codes(temperature=20.0)),
)


@st.composite
def _boxes(draw: Callable) -> dict:
    batch, queries = draw(st.integers(1, 2)), draw(st.integers(1, 2))
    return {
        "boxes": draw(tensors(batch, queries, 4, low=0.0, high=1.0, denominator=8, simplest=0.5)),
        "num_features": 2 * draw(st.integers(1, 3)),
    }


# ---------------------------------------------------------------- the checks

grid_proposals = Check(
    name="grid_proposals",
    reference=grid_proposals_by_loops,
    inputs=_maps(),
    mistakes=GRID_MISTAKES,
    example={
        "spatial_shapes": [(4, 6), (2, 3)],
        "valid_ratios": torch.tensor([[(1.0, 1.0), (1.0, 1.0)], [(0.5, 0.75), (0.75, 0.5)]]),
    },
    letters="(B, S, 4)",
    draw=_draw_grid,
)

encode_boxes = Check(
    name="encode_boxes",
    reference=encode_boxes_by_loops,
    inputs=_boxes(),
    mistakes=CODE_MISTAKES,
    example={
        "boxes": torch.tensor([[(0.5, 0.25, 0.125, 0.75), (0.75, 0.375, 0.25, 0.5)]]),
        "num_features": 6,
    },
    letters="(B, Q, 4 F)",
)
