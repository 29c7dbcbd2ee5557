"""Checks for notebooks/02_images_boxes_padding.ipynb: notations of a box, cropping, padding.

Each check is a slow reference made of loops, random inputs, and the mistakes people make, every one with the
sentence that names it.
"""

from collections.abc import Callable, Sequence

import torch
from hypothesis import strategies as st
from matplotlib.figure import Figure
from torch import Tensor

from detr_tutorial.checks._check import Check, Inputs, Number, tensors
from detr_tutorial.plots.chapter_02 import your_boxes, your_masks

Window = tuple[Number, Number, Number, Number]

# ---------------------------------------------------------------- from center and size to corners


def corners_by_loops(boxes: Tensor) -> Tensor:
    """One box at a time: (N, 4) as (cx, cy, w, h) to (N, 4) as (x1, y1, x2, y2)."""
    return torch.tensor(
        [(cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2) for cx, cy, w, h in boxes.tolist()]
    ).reshape(-1, 4)


def _wrong_corners(
    formula: Callable[[Number, Number, Number, Number], tuple[Number, Number, Number, Number]],
) -> Callable[[Tensor], Tensor]:
    """One box at a time, with another formula."""

    def wrong(boxes: Tensor) -> Tensor:
        return torch.tensor([formula(*box) for box in boxes.tolist()], dtype=torch.float32).reshape(-1, 4)

    return wrong


CORNER_MISTAKES = (
    (
        "you did not halve the size: from the center to an edge it is w / 2 and h / 2",
        _wrong_corners(lambda cx, cy, w, h: (cx - w, cy - h, cx + w, cy + h)),
    ),
    (
        "you read the first two numbers as the top left corner: they are the center",
        _wrong_corners(lambda cx, cy, w, h: (cx, cy, cx + w, cy + h)),
    ),
    (
        "you swapped width and height: the third number is w and belongs to x, the fourth is h",
        _wrong_corners(lambda cx, cy, w, h: (cx - h / 2, cy - w / 2, cx + h / 2, cy + w / 2)),
    ),
    (
        "you returned (x1, y1, w, h): the last two are the right and the lower edge, not the size",
        _wrong_corners(lambda cx, cy, w, h: (cx - w / 2, cy - h / 2, w, h)),
    ),
    (
        "your corners are ordered (x1, x2, y1, y2): first the top left point, then the bottom right one",
        _wrong_corners(lambda cx, cy, w, h: (cx - w / 2, cx + w / 2, cy - h / 2, cy + h / 2)),
    ),
    (
        "your points are (y, x): x comes first",
        _wrong_corners(lambda cx, cy, w, h: (cy - h / 2, cx - w / 2, cy + h / 2, cx + w / 2)),
    ),
    (
        "you went the other way: this is from corners to center and size",
        _wrong_corners(lambda cx, cy, w, h: ((cx + w) / 2, (cy + h) / 2, w - cx, h - cy)),
    ),
    (
        "you took the last pixel into the box (x2 = x1 + w - 1): edges lie between pixels, x2 - x1 is w",
        _wrong_corners(lambda cx, cy, w, h: (cx - w / 2, cy - h / 2, cx + w / 2 - 1, cy + h / 2 - 1)),
    ),
    (
        "you halved the centers instead of the sizes",
        _wrong_corners(lambda cx, cy, w, h: (cx / 2 - w, cy / 2 - h, cx / 2 + w, cy / 2 + h)),
    ),
)


def _draw_corners(inputs: Inputs, yours: Tensor, target: Tensor) -> Figure:
    return your_boxes(yours, target)


@st.composite
def _boxes(draw: Callable, denominator: int = 4, most: int = 3) -> Tensor:
    """Up to three boxes (cx, cy, w, h) with an area."""
    count = draw(st.integers(1, most))
    centers = draw(tensors(count, 2, low=0.0, high=2.0, denominator=denominator))
    sizes = draw(tensors(count, 2, low=1 / denominator, high=2.0, denominator=denominator, simplest=1.0))
    return torch.cat([centers, sizes], dim=1)


cxcywh_to_xyxy = Check(
    name="cxcywh_to_xyxy",
    reference=corners_by_loops,
    inputs=st.fixed_dictionaries({"boxes": _boxes()}),
    mistakes=CORNER_MISTAKES,
    example={"boxes": torch.tensor([[4.0, 3.0, 2.0, 4.0], [1.0, 5.0, 2.0, 1.0]])},
    letters="(N, 4)",
    draw=_draw_corners,
)


# ---------------------------------------------------------------- crops


def crop_by_loops(boxes: Tensor, window: Window) -> tuple[Tensor, Tensor]:
    """One box at a time, corners in pixels: what is left (N', 4), and which are left (N,)."""
    left, top, right, bottom = window
    cut, kept = [], []
    for x1, y1, x2, y2 in boxes.tolist():
        x1, x2 = (min(max(x - left, 0.0), right - left) for x in (x1, x2))
        y1, y2 = (min(max(y - top, 0.0), bottom - top) for y in (y1, y2))
        kept.append(x2 > x1 and y2 > y1)
        if kept[-1]:
            cut.append((x1, y1, x2, y2))
    return torch.tensor(cut, dtype=torch.float32).reshape(-1, 4), torch.tensor(kept, dtype=torch.bool)


def _moved(boxes: Tensor, window: Window) -> Tensor:
    left, top, _, _ = window
    return boxes - torch.tensor([left, top, left, top], dtype=torch.float32)


def _limits(window: Window) -> Tensor:
    left, top, right, bottom = window
    return torch.tensor([right - left, bottom - top] * 2, dtype=torch.float32)


def _with_area(boxes: Tensor) -> Tensor:
    return (boxes[:, 2:] > boxes[:, :2]).all(dim=1)


def _not_moved(boxes: Tensor, window: Window) -> tuple[Tensor, Tensor]:
    low, high = torch.tensor(window[:2] * 2), torch.tensor(window[2:] * 2)
    cut = boxes.maximum(low.float()).minimum(high.float())
    return cut[_with_area(cut)], _with_area(cut)


def _not_cut(boxes: Tensor, window: Window) -> tuple[Tensor, Tensor]:
    kept = crop_by_loops(boxes, window)[1]
    return _moved(boxes, window)[kept], kept


def _nothing_dropped(boxes: Tensor, window: Window) -> tuple[Tensor, Tensor]:
    cut = _moved(boxes, window).clamp(min=0).minimum(_limits(window))
    return cut, torch.ones(len(boxes), dtype=torch.bool)


def _cut_at_zero_only(boxes: Tensor, window: Window) -> tuple[Tensor, Tensor]:
    cut = _moved(boxes, window).clamp(min=0)
    return cut[_with_area(cut)], _with_area(cut)


def _cut_first_moved_later(boxes: Tensor, window: Window) -> tuple[Tensor, Tensor]:
    """Cut to the size of the window before counting from its corner."""
    cut = _moved(boxes.clamp(min=0).minimum(_limits(window)), window)
    return cut[_with_area(cut)], _with_area(cut)


def _limits_swapped(boxes: Tensor, window: Window) -> tuple[Tensor, Tensor]:
    cut = _moved(boxes, window).clamp(min=0).minimum(_limits(window).flip(0))
    return cut[_with_area(cut)], _with_area(cut)


def _limits_of_the_picture(boxes: Tensor, window: Window) -> tuple[Tensor, Tensor]:
    high = torch.tensor(window[2:] * 2, dtype=torch.float32)
    cut = _moved(boxes, window).clamp(min=0).minimum(high)
    return cut[_with_area(cut)], _with_area(cut)


def _either_side(boxes: Tensor, window: Window) -> tuple[Tensor, Tensor]:
    cut = _moved(boxes, window).clamp(min=0).minimum(_limits(window))
    kept = (cut[:, 2:] > cut[:, :2]).any(dim=1)
    return cut[kept], kept


def _lines_kept(boxes: Tensor, window: Window) -> tuple[Tensor, Tensor]:
    """Lines and points stay: one that merely touches the window leaves a box without area."""
    moved = _moved(boxes, window)
    cut = moved.clamp(min=0).minimum(_limits(window))
    kept = (moved[:, 2:] >= 0).all(dim=1) & (moved[:, :2] <= _limits(window)[:2]).all(dim=1)
    return cut[kept], kept


def _only_whole_boxes(boxes: Tensor, window: Window) -> tuple[Tensor, Tensor]:
    moved = _moved(boxes, window)
    kept = (moved >= 0).all(dim=1) & (moved <= _limits(window)).all(dim=1)
    return moved[kept], kept


def _only_centers_inside(boxes: Tensor, window: Window) -> tuple[Tensor, Tensor]:
    moved = _moved(boxes, window)
    centers = (moved[:, :2] + moved[:, 2:]) / 2
    kept = ((centers > 0) & (centers < _limits(window)[:2])).all(dim=1)
    return moved.clamp(min=0).minimum(_limits(window))[kept], kept


_CROP_SENTENCES: tuple[tuple[str, Callable[[Tensor, Window], tuple[Tensor, Tensor]]], ...] = (
    ("you did not count from the window's corner: subtract its left from x and its top from y", _not_moved),
    ("you did not cut the boxes: what hangs over the window must end at its edge", _not_cut),
    (
        "you dropped nothing: a box without area inside the window must go, and its flag is False",
        _nothing_dropped,
    ),
    (
        "you cut at the left and upper edge only: the window also ends on the right and below",
        _cut_at_zero_only,
    ),
    (
        "you cut to the size of the window before you counted from its corner: first move, then cut",
        _cut_first_moved_later,
    ),
    (
        "you swapped the limits: x ends at the window's width, y at its height",
        _limits_swapped,
    ),
    (
        "you cut at the window's right and lower edge in the old picture: after moving, they are its width "
        "and height",
        _limits_of_the_picture,
    ),
    (
        "you kept a box that has a width or a height: it needs both to have an area",
        _either_side,
    ),
    ("you kept boxes that only touch the window: they have no area in it", _lines_kept),
    ("you dropped every box that hangs over: cut it, and keep what is inside", _only_whole_boxes),
    (
        "you kept only boxes whose center is inside: what counts is whether any area is left",
        _only_centers_inside,
    ),
)


@st.composite
def _boxes_and_window(draw: Callable) -> dict:
    """One to three boxes in a picture of 8 x 8, and a window in it; not square, not at its corner."""
    left, top = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    width = draw(st.integers(2, 4))
    height = draw(st.integers(2, 4).filter(lambda side: side != width))
    boxes = []
    for _ in range(draw(st.integers(1, 3))):
        x1, y1 = draw(st.integers(0, 6)), draw(st.integers(0, 6))
        boxes.append((x1, y1, draw(st.integers(x1 + 1, 8)), draw(st.integers(y1 + 1, 8))))
    return {
        "boxes": torch.tensor(boxes, dtype=torch.float32),
        "window": (left, top, left + width, top + height),
    }


_CROP_EXAMPLE = {
    "boxes": torch.tensor(
        [
            [1.0, 1.0, 4.0, 5.0],
            [3.0, 3.0, 5.0, 4.0],
            [0.0, 0.0, 2.0, 3.0],
            [4.0, 1.0, 8.0, 8.0],
            [6.0, 2.0, 8.0, 3.0],
        ]
    ),
    "window": (2, 2, 7, 6),
}

crop_boxes = Check(
    name="crop_boxes",
    reference=crop_by_loops,
    inputs=_boxes_and_window(),
    mistakes=_CROP_SENTENCES,
    example=_CROP_EXAMPLE,
    letters="(N', 4)",
    num_inputs=60,
)


# ---------------------------------------------------------------- crops in fractions

SIDE = 8  # of the picture in which random boxes and windows are drawn


def _fractions(boxes: Tensor, window: Window) -> Tensor:
    """Corners in pixels of the window to (cx, cy, w, h) in fractions of it."""
    size = _limits(window)
    return torch.cat([(boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]], dim=1) / size


def _in_fractions(
    crop: Callable[[Tensor, Window], tuple[Tensor, Tensor]],
) -> Callable[[Tensor, Window], tuple[Tensor, Tensor]]:
    """A crop of corners as a crop of fractions (cx, cy, w, h)."""

    def crop_of_fractions(boxes: Tensor, window: Window) -> tuple[Tensor, Tensor]:
        cut, kept = crop(corners_by_loops(boxes), window)
        return _fractions(cut, window), kept

    return crop_of_fractions


def crop_fractions_by_loops(boxes: Tensor, window: Window) -> tuple[Tensor, Tensor]:
    """(N, 4) as (cx, cy, w, h) of the picture to (N', 4) of the window, and which are left (N,)."""
    return _in_fractions(crop_by_loops)(boxes, window)


def _not_rescaled(boxes: Tensor, window: Window) -> tuple[Tensor, Tensor]:
    right, kept = crop_fractions_by_loops(boxes, window)
    return right * _limits(window), kept


def _left_as_corners(boxes: Tensor, window: Window) -> tuple[Tensor, Tensor]:
    cut, kept = crop_by_loops(corners_by_loops(boxes), window)
    return cut / _limits(window), kept


def _read_as_corners(boxes: Tensor, window: Window) -> tuple[Tensor, Tensor]:
    cut, kept = crop_by_loops(boxes, window)
    return _fractions(cut, window), kept


def _scaled_by_swapped_sides(boxes: Tensor, window: Window) -> tuple[Tensor, Tensor]:
    right, kept = crop_fractions_by_loops(boxes, window)
    return right * _limits(window) / _limits(window).flip(0), kept


def _moved_only(boxes: Tensor, window: Window) -> tuple[Tensor, Tensor]:
    """Center and size moved to the window, without cutting."""
    _, kept = crop_fractions_by_loops(boxes, window)
    return _fractions(_moved(corners_by_loops(boxes), window), window)[kept], kept


def _center_kept(boxes: Tensor, window: Window) -> tuple[Tensor, Tensor]:
    """The size is cut, the center stays where it was."""
    right, kept = crop_fractions_by_loops(boxes, window)
    uncut = _fractions(_moved(corners_by_loops(boxes), window), window)[kept]
    return torch.cat([uncut[:, :2], right[:, 2:]], dim=1), kept


CROP_FRACTIONS_MISTAKES = (
    ("your boxes are still fractions of the picture: divide by the size of the window", _not_rescaled),
    ("you returned corners: turn them back into (cx, cy, w, h)", _left_as_corners),
    ("you read the boxes as corners: they are (cx, cy, w, h)", _read_as_corners),
    ("you divided x by the window's height and y by its width", _scaled_by_swapped_sides),
    ("you did not cut the boxes: what hangs over the window must end at its edge", _moved_only),
    ("you cut the size but left the center: what is left has another center", _center_kept),
    *(
        (sentence, _in_fractions(wrong))
        for sentence, wrong in _CROP_SENTENCES
        if wrong in (_nothing_dropped, _only_whole_boxes, _only_centers_inside, _not_moved)
    ),
)


def _as_fractions(inputs: dict) -> dict:
    corners, window = inputs["boxes"], inputs["window"]
    boxes = torch.cat([(corners[:, :2] + corners[:, 2:]) / 2, corners[:, 2:] - corners[:, :2]], dim=1)
    return {"boxes": boxes / SIDE, "window": tuple(edge / SIDE for edge in window)}


crop_fractions = Check(
    name="crop_fractions",
    reference=crop_fractions_by_loops,
    inputs=_boxes_and_window().map(_as_fractions),
    mistakes=CROP_FRACTIONS_MISTAKES,
    example=_as_fractions(_CROP_EXAMPLE),
    letters="(N', 4)",
    num_inputs=60,
)


# ---------------------------------------------------------------- one batch of pictures of different size


def pad_by_loops(images: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Pixel by pixel: pixels (B, C, H, W), and mask (B, H, W), True where it is padding."""
    height, width = max(image.shape[1] for image in images), max(image.shape[2] for image in images)
    pixels = torch.zeros(len(images), images[0].shape[0], height, width)
    mask = torch.zeros(len(images), height, width, dtype=torch.bool)
    for index, image in enumerate(images):
        for row in range(height):
            for column in range(width):
                if row < image.shape[1] and column < image.shape[2]:
                    pixels[index, :, row, column] = image[:, row, column]
                else:
                    mask[index, row, column] = True
    return pixels, mask


def _placed(
    images: Sequence[Tensor], corner: Callable[[int, int], tuple[int, int]], fill: Number = 0.0
) -> tuple[Tensor, Tensor]:
    """Pictures somewhere on the canvas: `corner` takes the free rows and columns."""
    pixels, mask = pad_by_loops(images)
    pixels, mask = torch.full_like(pixels, fill), torch.ones_like(mask)
    for index, image in enumerate(images):
        _, height, width = image.shape
        top, left = corner(pixels.shape[2] - height, pixels.shape[3] - width)
        pixels[index, :, top : top + height, left : left + width] = image
        mask[index, top : top + height, left : left + width] = False
    return pixels, mask


def _other_mask(
    change: Callable[[Sequence[Tensor], Tensor], Tensor],
) -> Callable[[Sequence[Tensor]], tuple[Tensor, Tensor]]:
    """The right pixels with another mask."""

    def wrong(images: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        pixels, mask = pad_by_loops(images)
        return pixels, change(images, mask)

    return wrong


def _mask_of_sizes(
    images: Sequence[Tensor], mask: Tensor, combine: Callable[[Tensor, Tensor], Tensor], swap: bool = False
) -> Tensor:
    """Combine "below the picture" and "to the right of it" in another way."""
    masks = []
    for image in images:
        height, width = image.shape[1:] if not swap else (image.shape[2], image.shape[1])
        below = (torch.arange(mask.shape[1]) >= height)[:, None].expand(mask.shape[1:])
        right = (torch.arange(mask.shape[2]) >= width)[None].expand(mask.shape[1:])
        masks.append(combine(below, right))
    return torch.stack(masks)


def _mask_from_zeros(images: Sequence[Tensor], mask: Tensor) -> Tensor:
    return (pad_by_loops(images)[0] == 0).all(dim=1)


def _square_canvas(images: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    side = max(max(image.shape[1:]) for image in images)
    square = torch.zeros(images[0].shape[0], side, side)
    pixels, mask = pad_by_loops([*images, square])
    return pixels[:-1], mask[:-1]


def _stretched(images: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Every picture resized to the canvas."""
    pixels, mask = pad_by_loops(images)
    size = (pixels.shape[2], pixels.shape[3])
    resized = [torch.nn.functional.interpolate(image[None], size=size) for image in images]
    return torch.cat(resized), torch.zeros_like(mask)


def _cut_to_the_smallest(images: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    height, width = min(image.shape[1] for image in images), min(image.shape[2] for image in images)
    return pad_by_loops([image[:, :height, :width] for image in images])


PAD_MISTAKES = (
    (
        "your mask is inverted: True is padding, False is the picture",
        _other_mask(lambda images, mask: ~mask),
    ),
    (
        "your mask is True only where a cell lies below and to the right of the picture: one of the two is "
        "enough",
        _other_mask(lambda images, mask: _mask_of_sizes(images, mask, torch.logical_and)),
    ),
    (
        "your mask looks at the rows only: columns to the right of the picture are padding too",
        _other_mask(lambda images, mask: _mask_of_sizes(images, mask, lambda below, right: below)),
    ),
    (
        "your mask looks at the columns only: rows below the picture are padding too",
        _other_mask(lambda images, mask: _mask_of_sizes(images, mask, lambda below, right: right)),
    ),
    (
        "your mask takes the width for the height: an image is (C, H, W)",
        _other_mask(lambda images, mask: _mask_of_sizes(images, mask, torch.logical_or, swap=True)),
    ),
    (
        "your mask is True wherever the pixels are 0: a picture may hold zeros too, so take its size instead",
        _other_mask(_mask_from_zeros),
    ),
    (
        "your mask is the same for all images: each has its own padding",
        _other_mask(lambda images, mask: mask[:1].expand(len(mask), -1, -1)),
    ),
    (
        "your mask is never True: mark what was added",
        _other_mask(lambda images, mask: torch.zeros_like(mask)),
    ),
    (
        "your pictures are in the middle of the canvas: put them into its top left corner",
        lambda images: _placed(images, lambda rows, columns: (rows // 2, columns // 2)),
    ),
    (
        "your pictures are in the bottom right corner: F.pad takes left, right, top, bottom, in this order",
        lambda images: _placed(images, lambda rows, columns: (rows, columns)),
    ),
    (
        "your padding is not 0",
        lambda images: _placed(images, lambda rows, columns: (0, 0), fill=1.0),
    ),
    ("your canvas is a square: take the largest height and the largest width, one by one", _square_canvas),
    ("you stretched the pictures to the canvas: they keep their size, the rest is padding", _stretched),
    ("you cut the pictures to the smallest of them: nothing may be lost", _cut_to_the_smallest),
)


@st.composite
def _pictures(draw: Callable) -> dict:
    """Two or three pictures of three channels; the first two differ in both sides, and none rules both."""
    low_h, low_w = draw(st.integers(1, 2)), draw(st.integers(1, 2))
    sizes = [(low_h, low_w + draw(st.integers(1, 3))), (low_h + draw(st.integers(1, 3)), low_w)]
    if draw(st.booleans()):
        sizes.append((draw(st.integers(1, 4)), draw(st.integers(1, 4))))
    return {"images": [draw(tensors(3, *size, low=-2.0, high=2.0, denominator=1)) for size in sizes]}


def _draw_masks(inputs: Inputs, yours: tuple, target: tuple) -> Figure:
    return your_masks(yours[1], target[1])


pad_images = Check(
    name="pad_images",
    reference=pad_by_loops,
    inputs=_pictures(),
    mistakes=PAD_MISTAKES,
    example={
        "images": [
            torch.arange(24.0).reshape(3, 2, 4) - 11,
            torch.arange(45.0).reshape(3, 5, 3) - 22,
        ]
    },
    letters="(B, C, H, W)",
    draw=_draw_masks,
)
