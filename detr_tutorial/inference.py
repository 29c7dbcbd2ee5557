"""From what a model answers to boxes in pixels: scores, the best detections, the size of the original image.

Taught in notebooks/19_inference_and_evaluation.ipynb.
"""

from collections.abc import Sequence
from typing import Any

import torch
from einops import repeat
from jaxtyping import Float
from torch import Tensor, nn
from torchvision.transforms.v2.functional import resize

from detr_tutorial._targets import at_least_float32
from detr_tutorial._validation import (
    require_finite,
    require_int,
    require_list,
    require_number,
    require_size,
    require_tensor,
)
from detr_tutorial.boxes import cxcywh_to_xyxy, to_absolute
from detr_tutorial.detections import Detections
from detr_tutorial.padding import normalize_image, pad_images


@torch.no_grad()
def postprocess(
    detections: Detections, original_sizes: Sequence[tuple[int, int]], top_k: int = 100
) -> list[dict[str, Tensor]]:
    """Turn logits and relative boxes into the best detections of every image, in its own pixels.

    With one sigmoid a class, the best (query, class) pairs are taken: a query may answer twice, with two
    classes. With a background class, every query answers once, with its best class apart from the background.

    Args:
        detections: what the model returned.
        original_sizes: (height, width) of every image before it was resized and padded, in pixels.
        top_k: how many detections to keep of an image, at most.
    Returns:
        For every image "scores" (k,) in [0, 1], best first, "labels" (k,) and "boxes" (k, 4) as
        (x1, y1, x2, y2) in pixels of the original image, not clipped to it; without gradient, and at least
        float32.
    Raises:
        TypeError, ValueError: if an argument is not of that kind or shape, or detections are not finite.
    Source: DETR's and Deformable DETR's official `PostProcess`; taught in
    notebooks/19_inference_and_evaluation.ipynb.
    """
    value: Any = detections
    if not isinstance(value, Detections):
        raise TypeError(f"detections must be a Detections, got {type(value).__name__}")
    logits = require_finite(
        "detections.logits", require_tensor("detections.logits", detections.logits, "B Q C")
    )
    batch, queries, columns = logits.shape
    boxes = require_tensor("detections.boxes", detections.boxes, f"{batch} {queries} 4")
    require_finite("detections.boxes", boxes)
    sizes = require_list("original_sizes", original_sizes, "(height, width) pairs")
    if len(sizes) != batch:
        raise ValueError(f"original_sizes must hold {batch} pairs, one an image, got {len(sizes)}")
    sizes = [require_size(f"original_sizes[{image}]", size) for image, size in enumerate(sizes)]
    require_int("top_k", top_k)

    if detections.background_class:
        probabilities = at_least_float32(logits).softmax(dim=-1)[..., :-1]
        candidates, best_classes = probabilities.max(dim=-1)  # B Q
        scores, chosen = candidates.topk(min(top_k, queries), dim=1)  # B k
        labels = best_classes.gather(1, chosen)
    else:
        candidates = at_least_float32(logits).sigmoid().flatten(1)  # B (Q C)
        scores, pairs = candidates.topk(min(top_k, queries * columns), dim=1)  # B k
        chosen, labels = pairs // columns, pairs % columns
    corners = cxcywh_to_xyxy(at_least_float32(boxes))
    corners = corners.gather(1, repeat(chosen, "B k -> B k xyxy", xyxy=4))
    return [
        {"scores": scores[image], "labels": labels[image], "boxes": to_absolute(corners[image], sizes[image])}
        for image in range(batch)
    ]


@torch.no_grad()
def predict(
    model: nn.Module,
    images: Sequence[Float[Tensor, "3 _ _"]],
    threshold: int | float = 0.5,
    short_side: int | None = None,
    max_side: int | None = None,
    top_k: int = 100,
) -> list[dict[str, Tensor]]:
    """Detect objects in images of any size: resize, normalize, pad, run the model, scale back.

    The model is in evaluation mode during the call and as before afterwards. All images run as one batch.

    Args:
        model: takes a PaddedBatch and returns Detections.
        images: RGB in [0, 1], of any sizes; a uint8 image must be divided by 255 first.
        threshold: detections with a score above it are returned, in [0, 1].
        short_side: the shorter side is resized to it, in pixels; `model.config.short_side` when None.
        max_side: the longer side is at most so long, in pixels; `model.config.max_side` when None.
        top_k: how many detections to keep of an image, at most.
    Returns:
        For every image "scores" (k,), best first, "labels" (k,) and "boxes" (k, 4) as (x1, y1, x2, y2) in
        pixels of the image as it came, clipped to it; k differs from image to image and may be 0.
    Raises:
        TypeError, ValueError: if an argument is not of that kind, shape or range.
    Source: the evaluation transforms and `PostProcess` of DETR's official code; taught in
    notebooks/19_inference_and_evaluation.ipynb.
    """
    value: Any = model
    if not isinstance(value, nn.Module):
        raise TypeError(f"model must be a torch.nn.Module, got {type(value).__name__}")
    listed = require_list("images", images, "(3, H, W) tensors")
    for index, image in enumerate(listed):
        _require_image(f"images[{index}]", image)
    if not 0 <= require_number("threshold", threshold) <= 1:
        raise ValueError(f"threshold must lie in [0, 1], got {threshold}")
    short_side = require_int("short_side", _default(model, "short_side", short_side))
    max_side = require_int("max_side", _default(model, "max_side", max_side))

    sizes = [(image.shape[1], image.shape[2]) for image in listed]
    like = next(model.parameters(), listed[0])  # device and dtype of the model
    resized = [
        _resize(at_least_float32(image.to(like.device)), _fitted_size(size, short_side, max_side))
        for image, size in zip(listed, sizes, strict=True)
    ]
    batch = pad_images([normalize_image(image).to(like.dtype) for image in resized])
    modes = {module: module.training for module in model.modules()}
    try:
        detections = model.eval()(batch)
    finally:
        for module, training in modes.items():
            module.training = training
    return [
        _above(found, threshold, size)
        for found, size in zip(postprocess(detections, sizes, top_k), sizes, strict=True)
    ]


def _require_image(name: str, image: Any) -> None:
    if isinstance(image, Tensor) and image.dtype == torch.uint8:
        raise TypeError(f"{name} must be floating point in [0, 1], got torch.uint8: divide it by 255")
    low, high = torch.aminmax(require_finite(name, require_tensor(name, image, "3 H W")))
    if low < 0 or high > 1:
        raise ValueError(
            f"{name} must lie in [0, 1], got values in [{float(low):.3g}, {float(high):.3g}]; "
            "pass it before normalization, 255 as 1.0"
        )


def _default(model: nn.Module, name: str, value: int | None) -> int:
    if value is not None:
        return value
    configured = getattr(getattr(model, "config", None), name, None)
    if configured is None:
        raise ValueError(f"{name} is None, and the model has no config.{name}: pass {name} in pixels")
    return configured


def _fitted_size(size: tuple[int, int], short_side: int, max_side: int) -> tuple[int, int]:
    """Scale (height, width) so that the shorter side is `short_side` unless the longer exceeds `max_side`."""
    short, long = sorted(size)
    new_short, new_long = short_side, int(short_side * long / short)
    if new_long > max_side:
        new_short, new_long = max(1, int(max_side * new_short / new_long)), max_side
    return (new_short, new_long) if size[0] <= size[1] else (new_long, new_short)


def _resize(image: Float[Tensor, "3 _ _"], size: tuple[int, int]) -> Float[Tensor, "3 _ _"]:
    if tuple(image.shape[1:]) == size:
        return image
    return resize(image, list(size), antialias=True)


def _above(found: dict[str, Tensor], threshold: int | float, size: tuple[int, int]) -> dict[str, Tensor]:
    """Keep what scores above the threshold, with boxes clipped to the image of (height, width)."""
    kept = found["scores"] > threshold
    height, width = size
    limit = found["boxes"].new_tensor([width, height, width, height])
    boxes = found["boxes"][kept].clamp(min=0).minimum(limit)
    return {"scores": found["scores"][kept], "labels": found["labels"][kept], "boxes": boxes}
