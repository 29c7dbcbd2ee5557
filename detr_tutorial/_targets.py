"""Checks at the door for what matching and losses share: targets, weights, and precision."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from detr_tutorial._validation import require_finite, require_list, require_number, require_tensor

Target = Mapping[str, Any]

ROUNDING = 1e-3  # how far a box may reach beyond [0, 1]


def require_targets(targets: Any, batch: int, num_classes: int, device: torch.device) -> list[Target]:
    """Demand one target an image, each with labels below `num_classes` and boxes in [0, 1]."""
    listed = require_list("targets", targets, "dicts with labels and boxes, one an image")
    if len(listed) != batch:
        raise ValueError(f"targets must hold one dict an image: expected {batch}, got {len(listed)}")
    for image, target in enumerate(listed):
        _require_form(f"targets[{image}]", target, device)
    labels, boxes = (torch.cat([target[key] for target in listed]) for key in ("labels", "boxes"))
    if not _in_range(labels, boxes, num_classes):  # looked at all together; one by one only to name the image
        for image, target in enumerate(listed):
            _require_range(f"targets[{image}]", target, num_classes)
    return listed


def require_target(name: str, target: Any, num_classes: int, device: torch.device) -> Target:
    """Demand {"labels": (n,) int64, "boxes": (n, 4)}; other keys are not looked at."""
    _require_form(name, target, device)
    _require_range(name, target, num_classes)
    return target


def _require_form(name: str, target: Any, device: torch.device) -> None:
    if not isinstance(target, Mapping):
        raise TypeError(f"{name} must be a dict with labels and boxes, got {type(target).__name__}")
    if missing := [key for key in ("labels", "boxes") if key not in target]:
        raise ValueError(f"{name} must hold labels and boxes, got no {' and no '.join(missing)}")
    labels = require_tensor(f"{name}['labels']", target["labels"], "N", "integer")
    boxes = require_tensor(f"{name}['boxes']", target["boxes"], "N 4")
    if labels.dtype != torch.int64:
        raise TypeError(f"{name}['labels'] must be an int64 tensor, got {labels.dtype}")
    if len(labels) != len(boxes):
        raise ValueError(f"{name} must hold as many labels as boxes, got {len(labels)} and {len(boxes)}")
    for key, tensor in (("labels", labels), ("boxes", boxes)):
        if tensor.device != device:
            raise ValueError(f"{name}['{key}'] must be on {device} as the detections, got {tensor.device}")


def _in_range(labels: Tensor, boxes: Tensor, num_classes: int) -> bool:
    if len(labels) == 0:
        return True
    lowest, highest = torch.aminmax(labels)
    smallest, largest = torch.aminmax(boxes)  # NaN shows in both, and compares as False
    fine = (lowest >= 0) & (highest < num_classes) & (boxes[:, 2:].amin() >= 0)
    return bool(fine & (smallest >= -ROUNDING) & (largest <= 1 + ROUNDING))


def _require_range(name: str, target: Target, num_classes: int) -> None:
    labels, boxes = target["labels"], target["boxes"]
    if _in_range(labels, boxes, num_classes):
        return
    lowest, highest = (int(extreme) for extreme in torch.aminmax(labels))
    if lowest < 0 or highest >= num_classes:
        wrong = lowest if lowest < 0 else highest
        raise ValueError(f"{name}['labels'] must lie in [0, {num_classes}), got {wrong}")
    smallest, largest = (
        float(extreme) for extreme in torch.aminmax(require_finite(f"{name}['boxes']", boxes))
    )
    if largest > 1 + ROUNDING:
        raise ValueError(f"{name}['boxes'] must lie in [0, 1], got {largest:g}; are they in pixels?")
    raise ValueError(f"{name}['boxes'] must be (cx, cy, w, h) in [0, 1], got {smallest:g}")


def require_weights(kind: str, weights: Mapping[str, Any]) -> None:
    """Demand finite numbers of at least 0, not all of them 0."""
    for name, value in weights.items():
        if require_number(f"{kind}.{name}", value) < 0:
            raise ValueError(f"{kind}.{name} must be at least 0, got {value}")
    if not any(weights.values()):
        raise ValueError(f"{kind} must hold a weight above 0, got {dict(weights)}")


def at_least_float32(tensor: Tensor) -> Tensor:
    """Turn half precision into float32; leave float32 and float64 as they are."""
    return tensor.float() if tensor.dtype in (torch.float16, torch.bfloat16) else tensor
