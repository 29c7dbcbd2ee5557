"""What happens to an image and its boxes before the model sees them: flip, resize, crop.

A transform takes an image and a target, and moves the boxes with the pixels. It is built from torchvision's
`transforms.v2`; boxes travel as `tv_tensors.BoundingBoxes`, which know the size of their image. Normalization
comes last, when a batch is made. Taught in notebooks/18_training.ipynb.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torchvision import tv_tensors
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as transform

from detr_tutorial._validation import require_int, require_number, require_size

# The numbers of DETR's official code, for a short side of 800 pixels.
OFFICIAL_SHORT_SIDE, OFFICIAL_MAX_SIDE = 800, 1333
TRAINING_SIDES = tuple(range(480, 801, 32))
SIDES_BEFORE_CROP = (400, 500, 600)
CROP_SIDES = (384, 600)  # smallest and largest, in height and in width

Sample = tuple[tv_tensors.Image, dict[str, Any]]


def training_transforms(
    short_side: int = OFFICIAL_SHORT_SIDE, max_side: int = OFFICIAL_MAX_SIDE, flip: int | float = 0.5
) -> v2.Compose:
    """Flip at random; then resize to one of many sizes, or resize, crop, and resize.

    For a short side of 800: either the short side becomes one of 480, 512, ..., 800; or it becomes 400, 500
    or 600, a window with sides of 384 to 600 is cut out, and its short side becomes one of 480, ..., 800. For
    another short side all these numbers are scaled alike.

    Args:
        short_side: the largest of the short sides, in pixels.
        max_side: the longer side is at most so long in the end, in pixels, at least `short_side`.
        flip: probability of a horizontal flip, in [0, 1].
    Returns:
        A transform of (image, target); it draws from torch's global random state.
    Raises:
        TypeError, ValueError: if an argument is not of that kind or range.
    Source: DETR (arXiv 2005.12872), `make_coco_transforms`; taught in notebooks/18_training.ipynb.
    """
    _require_sides(short_side, max_side)
    if not 0 <= require_number("flip", flip) <= 1:
        raise ValueError(f"flip must lie in [0, 1], got {flip}")

    def scaled(sides: tuple[int, ...]) -> list[int]:
        return [max(1, round(side * short_side / OFFICIAL_SHORT_SIDE)) for side in sides]

    final = v2.RandomChoice([ResizeShortSide(side, max_side) for side in scaled(TRAINING_SIDES)])
    before_crop = v2.RandomChoice([ResizeShortSide(side) for side in scaled(SIDES_BEFORE_CROP)])
    crop = RandomSizeCrop(*scaled(CROP_SIDES))
    return v2.Compose(
        [
            v2.RandomHorizontalFlip(float(flip)),
            v2.RandomChoice([final, v2.Compose([before_crop, crop, final])]),
        ]
    )


def evaluation_transforms(
    short_side: int = OFFICIAL_SHORT_SIDE, max_side: int = OFFICIAL_MAX_SIDE
) -> "ResizeShortSide":
    """Resize to a short side, as `inference.predict` does.

    Args:
        short_side: of the resized image, in pixels.
        max_side: the longer side is at most so long, in pixels, at least `short_side`.
    Returns:
        A transform of (image, target).
    Raises:
        TypeError, ValueError: if an argument is not of that kind or range.
    Source: DETR (arXiv 2005.12872), `make_coco_transforms`; taught in notebooks/18_training.ipynb.
    """
    _require_sides(short_side, max_side)
    return ResizeShortSide(short_side, max_side)


def resized_size(size: tuple[int, int], short_side: int, max_side: int | None = None) -> tuple[int, int]:
    """Compute the size of an image after its short side became `short_side`, unless the longer one forbids.

    Args:
        size: (height, width) in pixels.
        short_side: wanted length of the shorter side, in pixels.
        max_side: the longer side is at most so long, in pixels; None sets no limit.
    Returns:
        (height, width) with the aspect ratio of `size`, rounded down.
    Raises:
        TypeError, ValueError: if an argument is not a positive int or a pair of them.
    Source: DETR (arXiv 2005.12872), `get_size_with_aspect_ratio`; taught in notebooks/18_training.ipynb.
    """
    height, width = require_size("size", size)
    new_short, longest = require_int("short_side", short_side), None
    new_long = new_short * max(height, width) // min(height, width)
    if max_side is not None and new_long > (longest := require_int("max_side", max_side)):
        new_short, new_long = max(1, longest * new_short // new_long), longest
    return (new_short, new_long) if height <= width else (new_long, new_short)


class ResizeShortSide(nn.Module):
    """Resize image and boxes so that the shorter side has a given length.

    Args:
        short_side: wanted length of the shorter side, in pixels.
        max_side: the longer side is at most so long, in pixels; None sets no limit.
    Raises:
        TypeError, ValueError: if an argument is not a positive int.
    Source: DETR (arXiv 2005.12872), `resize`; taught in notebooks/18_training.ipynb.
    """

    def __init__(self, short_side: int, max_side: int | None = None) -> None:
        super().__init__()
        self.short_side = require_int("short_side", short_side)
        self.max_side = None if max_side is None else require_int("max_side", max_side)

    def forward(self, image: tv_tensors.Image, target: dict[str, Any]) -> Sample:
        size = list(resized_size(_size(image), self.short_side, self.max_side))
        boxes: Any = transform.resize(target["boxes"], size)
        resized: Any = transform.resize(image, size, antialias=True)
        return resized, {**target, "boxes": boxes}


class RandomSizeCrop(nn.Module):
    """Cut out a window of random size and place; boxes are cut with it, and those left without area dropped.

    Height and width are drawn one by one; an image smaller than `smallest` is taken whole in that direction.

    Args:
        smallest: shortest side of the window, in pixels.
        largest: longest side of the window, in pixels.
    Raises:
        TypeError, ValueError: if an argument is not a positive int, or `largest` is below `smallest`.
    Source: DETR (arXiv 2005.12872), `RandomSizeCrop`; taught in notebooks/18_training.ipynb.
    """

    def __init__(self, smallest: int, largest: int) -> None:
        super().__init__()
        self.smallest = require_int("smallest", smallest)
        self.largest = require_int("largest", largest, minimum=smallest)

    def forward(self, image: tv_tensors.Image, target: dict[str, Any]) -> Sample:
        height, width = (_between(min(self.smallest, side), min(self.largest, side)) for side in _size(image))
        top, left = _between(0, _size(image)[0] - height), _between(0, _size(image)[1] - width)
        boxes: Any = transform.crop(target["boxes"], top, left, height, width)
        window: Any = transform.crop(image, top, left, height, width)
        return window, drop_boxes_without_area({**target, "boxes": boxes})


def drop_boxes_without_area(target: dict[str, Any]) -> dict[str, Any]:
    """Clip boxes to their image, and leave out those that have no area left, with their labels.

    Args:
        target: "boxes" (n, 4) as BoundingBoxes with corners; every other tensor of n rows goes along.
    Returns:
        The target of what is left.
    Source: DETR (arXiv 2005.12872), `crop`; taught in notebooks/18_training.ipynb.
    """
    boxes: Any = transform.clamp_bounding_boxes(target["boxes"])
    kept = (boxes[:, 2:] > boxes[:, :2]).all(dim=1)
    remaining = {
        key: value[kept] if isinstance(value, Tensor) and value.shape[:1] == kept.shape else value
        for key, value in target.items()
    }
    return {**remaining, "boxes": tv_tensors.wrap(boxes[kept], like=boxes)}  # pyright: ignore[reportCallIssue]


def _between(lowest: int, highest: int) -> int:
    return int(torch.randint(lowest, highest + 1, ()))


def _size(image: Tensor) -> tuple[int, int]:
    return image.shape[-2], image.shape[-1]


def _require_sides(short_side: Any, max_side: Any) -> None:
    require_int("short_side", short_side)
    if require_int("max_side", max_side) < short_side:
        raise ValueError(f"max_side must be at least short_side={short_side}, got {max_side}")
