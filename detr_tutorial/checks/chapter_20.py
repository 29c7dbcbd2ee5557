"""Checks for notebooks/20_sampling_points_on_images.ipynb: where to draw a point, and which offset it had.

Each check is a slow reference that goes one by one, random inputs, and the mistakes people make, every one
with the sentence that names it.
"""

from collections.abc import Callable, Sequence

import torch
from hypothesis import strategies as st
from torch import Tensor

from detr_tutorial.checks._check import Check, tensors
from detr_tutorial.deformable_attention import star_offsets

Size = tuple[int, int]

# ---------------------------------------------------------------- pixels of the original picture


def pixels_one_by_one(points: Tensor, padded: Size, resized: Size, original: Size) -> Tensor:
    """Go back the way that the picture came: out of the padded batch, then out of the resizing."""
    result = torch.zeros_like(points)
    for index, (x, y) in enumerate(points.tolist()):
        from_left, from_top = x * padded[1], y * padded[0]  # pixels of the batch, from the outer edge
        result[index, 0] = from_left / resized[1] * original[1] - 0.5
        result[index, 1] = from_top / resized[0] * original[0] - 0.5
    return result


def _width_height(size: Size) -> Tensor:
    return torch.tensor([float(size[1]), float(size[0])])


def _height_width(size: Size) -> Tensor:
    return torch.tensor([float(size[0]), float(size[1])])


def _pixels(
    *,
    steps: Callable[[Size, Size, Size], Tensor] = lambda padded, resized, original: (
        _width_height(padded) / _width_height(resized) * _width_height(original)
    ),
    edge: float = 0.5,
) -> Callable[[Tensor, Size, Size, Size], Tensor]:
    def variant(points: Tensor, padded: Size, resized: Size, original: Size) -> Tensor:
        return points * steps(padded, resized, original) - edge

    return variant


def _corners_aligned(points: Tensor, padded: Size, resized: Size, original: Size) -> Tensor:
    in_batch = points * (_width_height(padded) - 1)
    return in_batch * (_width_height(original) - 1) / (_width_height(resized) - 1)


def _swapped(points: Tensor, padded: Size, resized: Size, original: Size) -> Tensor:
    return pixels_one_by_one(points, padded, resized, original).flip(-1)


def _half_a_pixel_before(points: Tensor, padded: Size, resized: Size, original: Size) -> Tensor:
    return (points * _width_height(padded) - 0.5) * _width_height(original) / _width_height(resized)


PIXEL_MISTAKES = (
    (
        "you forgot the padding: 1 is the edge of the padded batch, not of the picture in it",
        _pixels(steps=lambda padded, resized, original: _width_height(original)),
    ),
    (
        "you stayed in the resized picture: scale by the original size over the resized one",
        _pixels(steps=lambda padded, resized, original: _width_height(padded)),
    ),
    (
        "you scaled from the padded batch to the original: the padding was not resized with the picture, so "
        "the factor is the original size over the resized one",
        _pixels(
            steps=lambda padded, resized, original: (
                _width_height(resized) / _width_height(padded) * _width_height(original)
            )
        ),
    ),
    (
        "you scaled x by heights and y by widths: sizes are (height, width), points are (x, y)",
        _pixels(
            steps=lambda padded, resized, original: (
                _height_width(padded) / _height_width(resized) * _height_width(original)
            )
        ),
    ),
    ("you returned (y, x): points are (x, y)", _swapped),
    (
        "you left out the half pixel: 0 is the outer edge, the center of the first pixel is at 0.5",
        _pixels(edge=0.0),
    ),
    ("you added the half pixel: from the edge to the first center it is subtracted", _pixels(edge=-0.5)),
    (
        "you subtracted the half pixel before the last scaling: it is half a pixel of the original picture",
        _half_a_pixel_before,
    ),
    (
        "you put 0 and 1 at the centers of the outer pixels (align_corners=True): they are the outer edges",
        _corners_aligned,
    ),
    (
        "you left the points in [0, 1]: multiply by sizes in pixels",
        lambda points, padded, resized, original: points,
    ),
)


@st.composite
def _pictures(draw: Callable) -> dict:
    resized = draw(st.sampled_from([(30, 40), (48, 36), (20, 50)]))
    height, width = draw(st.sampled_from([(1.5, 2.0), (2.5, 0.5), (0.75, 3.0)]))
    more = draw(st.sampled_from([(10, 25), (15, 5), (30, 20)]))
    return {
        "points": draw(tensors(3, 2, low=-0.25, high=1.25, denominator=16, simplest=0.5)),
        "padded": (resized[0] + more[0], resized[1] + more[1]),
        "resized": resized,
        "original": (int(resized[0] * height), int(resized[1] * width)),
    }


original_pixels = Check(
    name="original_pixels",
    reference=pixels_one_by_one,
    inputs=_pictures(),
    mistakes=PIXEL_MISTAKES,
    example={
        "points": torch.tensor([[0.5, 0.25], [0.0, 0.0], [1.1, 0.75]]),
        "padded": (40, 80),
        "resized": (30, 60),
        "original": (90, 240),
    },
    letters="(n, 2)",
)

# ---------------------------------------------------------------- offsets, back from locations


def offsets_one_by_one(locations: Tensor, references: Tensor, spatial_shapes: Sequence[Size]) -> Tensor:
    """Undo chapter 11 point by point: cells of a level around points, parts of a box around boxes."""
    queries, heads, levels, points, _ = locations.shape
    result = torch.zeros_like(locations)
    for q in range(queries):
        for level in range(levels):
            reference, (height, width) = references[q, level].tolist(), spatial_shapes[level]
            for m in range(heads):
                for k in range(points):
                    dx = float(locations[q, m, level, k, 0]) - reference[0]
                    dy = float(locations[q, m, level, k, 1]) - reference[1]
                    if len(reference) == 4:
                        step = dx / reference[2] * 2 * points, dy / reference[3] * 2 * points
                    else:
                        step = dx * width, dy * height
                    result[q, m, level, k] = torch.tensor(step)
    return result


def _offsets(
    *,
    cells: Callable[[Tensor], Tensor] = lambda sizes: sizes.flip(-1),
    parts: Callable[[Tensor, Tensor, int], Tensor] = lambda boxes, sizes, points: 2 * points / boxes,
    minus_center: bool = True,
) -> Callable[[Tensor, Tensor, Sequence[Size]], Tensor]:
    """The right way with parts replaced."""

    def variant(locations: Tensor, references: Tensor, spatial_shapes: Sequence[Size]) -> Tensor:
        sizes = torch.tensor(spatial_shapes, dtype=torch.float32)  # L 2, (height, width)
        around = references[:, None, :, None]
        steps = locations - around[..., :2] if minus_center else locations
        if references.shape[-1] == 4:
            return steps * parts(around[..., 2:], sizes[:, None], locations.shape[3])
        return steps * cells(sizes)[:, None]

    return variant


OFFSET_MISTAKES = (
    (
        "you multiplied by the sizes of the levels around boxes too: there an offset counts parts of the box",
        _offsets(parts=lambda boxes, sizes, points: sizes.flip(-1)),
    ),
    (
        "you divided by the box, and forgot 2K: an offset of K reaches the edge of the box",
        _offsets(parts=lambda boxes, sizes, points: 1 / boxes),
    ),
    (
        "you divided by half the box, and forgot K: an offset of K, not of 1, reaches its edge",
        _offsets(parts=lambda boxes, sizes, points: 2 / boxes),
    ),
    (
        "you counted K parts to a box: it is K parts to half of it, so 2K",
        _offsets(parts=lambda boxes, sizes, points: points / boxes),
    ),
    (
        "you multiplied by the box: divide by it",
        _offsets(parts=lambda boxes, sizes, points: 2 * points * boxes),
    ),
    (
        "you multiplied x by the height and y by the width: sizes are (height, width), points are (x, y)",
        _offsets(cells=lambda sizes: sizes),
    ),
    (
        "you divided by the sizes of the levels: that is the way there",
        _offsets(cells=lambda sizes: 1 / sizes.flip(-1)),
    ),
    ("you did not subtract the reference", _offsets(minus_center=False)),
    (
        "you left the steps as parts of the picture",
        _offsets(cells=torch.ones_like, parts=lambda boxes, sizes, points: torch.ones_like(boxes)),
    ),
)


@st.composite
def _recorded(draw: Callable) -> dict:
    queries, heads, points = 2, 3, draw(st.sampled_from([2, 3]))
    shapes = draw(st.sampled_from([[(4, 6), (2, 3)], [(5, 3), (3, 2)], [(3, 8), (2, 5)]]))
    kind = draw(st.sampled_from([2, 4]))
    references = draw(tensors(queries, 2, kind, low=0.25, high=0.75, denominator=8, simplest=0.5))
    return {
        "locations": draw(tensors(queries, heads, 2, points, 2, low=0, high=1, denominator=8)),
        "references": references,
        "spatial_shapes": shapes,
    }


def _example() -> dict:
    boxes = torch.tensor([[0.5, 0.4, 0.2, 0.4], [0.3, 0.7, 0.4, 0.1]])
    star = star_offsets(3, 2, 4) / 8  # 2K
    locations = boxes[:, None, None, None, :2] + star * boxes[:, None, None, None, 2:]
    references = boxes[:, None].expand(-1, 2, -1).contiguous()
    return {"locations": locations, "references": references, "spatial_shapes": [(4, 6), (2, 3)]}


offsets_from_locations = Check(
    name="offsets_from_locations",
    reference=offsets_one_by_one,
    inputs=_recorded(),
    mistakes=OFFSET_MISTAKES,
    example=_example(),
    letters="(Q, M, L, K, 2)",
)
