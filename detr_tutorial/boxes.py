"""Boxes in three notations, their overlap, and the generalized overlap.

Inside the model a box is (cx, cy, w, h) in [0, 1]; overlap is computed on corners (x1, y1, x2, y2); COCO
files hold (x, y, w, h) with the top left corner. Taught in notebooks/02_images_boxes_padding.ipynb.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from detr_tutorial._validation import require_finite, require_size, require_tensor

Boxes = Float[Tensor, "*n 4"]


def cxcywh_to_xyxy(boxes: Boxes) -> Boxes:
    """Turn center and size into corners.

    Args:
        boxes: (..., 4) as (cx, cy, w, h), in any unit.
    Returns:
        (..., 4) as (x1, y1, x2, y2), in the same unit.
    Raises:
        TypeError, ValueError: if `boxes` is not a floating point tensor that ends in an axis of 4.
    Source: DETR (arXiv 2005.12872), `box_ops.py`; taught in notebooks/02_images_boxes_padding.ipynb.
    """
    cx, cy, w, h = _columns(boxes)
    return torch.stack([cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2], dim=-1)


def xyxy_to_cxcywh(boxes: Boxes) -> Boxes:
    """Turn corners into center and size.

    Args:
        boxes: (..., 4) as (x1, y1, x2, y2), in any unit.
    Returns:
        (..., 4) as (cx, cy, w, h), in the same unit.
    Raises:
        TypeError, ValueError: if `boxes` is not a floating point tensor that ends in an axis of 4.
    Source: DETR (arXiv 2005.12872), `box_ops.py`; taught in notebooks/02_images_boxes_padding.ipynb.
    """
    x1, y1, x2, y2 = _columns(boxes)
    return torch.stack([(x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1], dim=-1)


def xyxy_to_xywh(boxes: Boxes) -> Boxes:
    """Turn corners into COCO's notation, top left corner and size.

    Args:
        boxes: (..., 4) as (x1, y1, x2, y2), in any unit.
    Returns:
        (..., 4) as (x1, y1, w, h), in the same unit.
    Raises:
        TypeError, ValueError: if `boxes` is not a floating point tensor that ends in an axis of 4.
    Source: the COCO data format; taught in notebooks/02_images_boxes_padding.ipynb.
    """
    x1, y1, x2, y2 = _columns(boxes)
    return torch.stack([x1, y1, x2 - x1, y2 - y1], dim=-1)


def xywh_to_xyxy(boxes: Boxes) -> Boxes:
    """Turn COCO's notation, top left corner and size, into corners.

    Args:
        boxes: (..., 4) as (x1, y1, w, h), in any unit.
    Returns:
        (..., 4) as (x1, y1, x2, y2), in the same unit.
    Raises:
        TypeError, ValueError: if `boxes` is not a floating point tensor that ends in an axis of 4.
    Source: the COCO data format; taught in notebooks/02_images_boxes_padding.ipynb.
    """
    x1, y1, w, h = _columns(boxes)
    return torch.stack([x1, y1, x1 + w, y1 + h], dim=-1)


def to_absolute(boxes: Boxes, size: tuple[int, int]) -> Boxes:
    """Scale boxes in [0, 1] to the pixels of an image; any of the three notations.

    Box edges lie between pixels: x = 1 is the right edge of the last pixel. No half pixel is subtracted here,
    unlike in `reference_points.to_pixels`, which gives positions of pixel centers.

    Args:
        boxes: (..., 4) in [0, 1].
        size: (height, width) of the image, in pixels.
    Returns:
        (..., 4) in pixels.
    Raises:
        TypeError, ValueError: if `boxes` is not a floating point tensor that ends in an axis of 4, or `size`
            not a pair of positive ints.
    Source: DETR (arXiv 2005.12872), `PostProcess`; taught in notebooks/02_images_boxes_padding.ipynb.
    """
    _columns(boxes)
    height, width = require_size("size", size)
    return boxes * boxes.new_tensor([width, height, width, height])


def to_relative(boxes: Boxes, size: tuple[int, int]) -> Boxes:
    """Scale boxes in pixels of an image to [0, 1], the inverse of `to_absolute`.

    Args:
        boxes: (..., 4) in pixels.
        size: (height, width) of the image, in pixels.
    Returns:
        (..., 4) in [0, 1].
    Raises:
        TypeError, ValueError: if `boxes` is not a floating point tensor that ends in an axis of 4, or `size`
            not a pair of positive ints.
    Source: DETR (arXiv 2005.12872), `datasets/transforms.py`; taught in
    notebooks/02_images_boxes_padding.ipynb.
    """
    _columns(boxes)
    height, width = require_size("size", size)
    return boxes / boxes.new_tensor([width, height, width, height])


def box_area(boxes: Float[Tensor, "N 4"]) -> Float[Tensor, "N"]:
    """Measure the area of each box.

    Args:
        boxes: (N, 4) as corners (x1, y1, x2, y2), with x2 >= x1 and y2 >= y1.
    Returns:
        N areas, in the square of the boxes' unit; at least float32, because half precision overflows.
    Raises:
        TypeError, ValueError: if `boxes` is not such a tensor; (cx, cy, w, h) is usually caught here.
    Source: DETR (arXiv 2005.12872), `box_ops.py`; taught in notebooks/02_images_boxes_padding.ipynb.
    """
    return _area(_require_corners("boxes", boxes))


def pairwise_iou(boxes: Float[Tensor, "N 4"], others: Float[Tensor, "P 4"]) -> Float[Tensor, "N P"]:
    """Measure the overlap of every box with every other: intersection over union.

    Args:
        boxes: (N, 4) as corners (x1, y1, x2, y2), with x2 >= x1 and y2 >= y1; N may be 0.
        others: (P, 4) in the same unit; P may be 0.
    Returns:
        (N, P), each in [0, 1]; two boxes without area give 0.
    Raises:
        TypeError, ValueError: if an argument is not such a tensor; (cx, cy, w, h) is usually caught here.
    Source: DETR (arXiv 2005.12872), `box_ops.py`; taught in notebooks/02_images_boxes_padding.ipynb.
    """
    boxes, others = _require_corners("boxes", boxes), _require_corners("others", others)
    intersection, union = _intersection_and_union(boxes[:, None], others[None])
    return _divide(intersection, union)


def pairwise_giou(boxes: Float[Tensor, "N 4"], others: Float[Tensor, "P 4"]) -> Float[Tensor, "N P"]:
    """Measure the generalized overlap of every box with every other, which also tells far from near.

    IoU minus the part of the smallest enclosing box that neither of the two covers.

    Args:
        boxes: (N, 4) as corners (x1, y1, x2, y2), with x2 >= x1 and y2 >= y1; N may be 0.
        others: (P, 4) in the same unit; P may be 0.
    Returns:
        (N, P), each in [-1, 1].
    Raises:
        TypeError, ValueError: if an argument is not such a tensor; (cx, cy, w, h) is usually caught here.
    Source: Generalized IoU (arXiv 1902.09630), algorithm 1; taught in
    notebooks/02_images_boxes_padding.ipynb.
    """
    boxes, others = _require_corners("boxes", boxes), _require_corners("others", others)
    return _giou(boxes[:, None], others[None])


def paired_giou(boxes: Float[Tensor, "N 4"], others: Float[Tensor, "N 4"]) -> Float[Tensor, "N"]:
    """Measure the generalized overlap of every box with the one other box in the same row.

    The diagonal of `pairwise_giou`, without the rest of the table.

    Args:
        boxes: (N, 4) as corners (x1, y1, x2, y2), with x2 >= x1 and y2 >= y1; N may be 0.
        others: (N, 4) in the same unit.
    Returns:
        N numbers, each in [-1, 1].
    Raises:
        TypeError, ValueError: if an argument is not such a tensor; (cx, cy, w, h) is usually caught here.
    Source: Generalized IoU (arXiv 1902.09630), algorithm 1; taught in
    notebooks/02_images_boxes_padding.ipynb.
    """
    boxes, others = _require_corners("boxes", boxes), _require_corners("others", others)
    if len(boxes) != len(others):
        raise ValueError(f"boxes and others must have as many rows, got {len(boxes)} and {len(others)}")
    return _giou(boxes, others)


def _columns(boxes: Tensor) -> tuple[Tensor, ...]:
    """Check the last axis only: a list of no boxes at all is fine."""
    return require_tensor("boxes", boxes, "... 4").unbind(-1)


def _require_corners(name: str, boxes: Tensor) -> Tensor:
    require_finite(name, require_tensor(name, boxes, "N 4"))
    reversed_corners = (boxes[:, 2:] < boxes[:, :2]).any(dim=-1)
    if reversed_corners.any():
        row = int(reversed_corners.nonzero()[0])
        raise ValueError(
            f"{name} must be corners (x1, y1, x2, y2) with x2 >= x1 and y2 >= y1, got "
            f"{[round(value, 4) for value in boxes[row].tolist()]} in row {row}; are they (cx, cy, w, h)?"
        )
    return boxes.float() if boxes.dtype in (torch.float16, torch.bfloat16) else boxes


def _area(boxes: Tensor) -> Tensor:
    return _product(boxes[..., 2:] - boxes[..., :2])


def _product(sizes: Tensor) -> Tensor:
    width, height = sizes.unbind(-1)
    return width * height


def _intersection_and_union(boxes: Tensor, others: Tensor) -> tuple[Tensor, Tensor]:
    top_left = torch.maximum(boxes[..., :2], others[..., :2])
    bottom_right = torch.minimum(boxes[..., 2:], others[..., 2:])
    intersection = _product((bottom_right - top_left).clamp(min=0))
    return intersection, _area(boxes) + _area(others) - intersection


def _giou(boxes: Tensor, others: Tensor) -> Tensor:
    intersection, union = _intersection_and_union(boxes, others)
    top_left = torch.minimum(boxes[..., :2], others[..., :2])
    bottom_right = torch.maximum(boxes[..., 2:], others[..., 2:])
    enclosing = _product(bottom_right - top_left)
    return _divide(intersection, union) - _divide(enclosing - union, enclosing)


def _divide(numerator: Tensor, denominator: Tensor) -> Tensor:
    """Divide, with 0 / 0 = 0, also in the gradient."""
    positive = denominator > 0
    return torch.where(positive, numerator / torch.where(positive, denominator, 1), 0)
