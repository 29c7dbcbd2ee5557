"""Checks at the door of public functions: one clear line that names the argument, the rule and what came."""

from collections.abc import Sequence

import torch
from torch import Tensor


def require_floating(name: str, tensor: object) -> None:
    """Raise TypeError unless `tensor` is a floating-point tensor."""
    if not isinstance(tensor, Tensor):
        raise TypeError(f"{name} must be a torch tensor, got {type(tensor).__name__}")
    if not tensor.is_floating_point():
        raise TypeError(f"{name} must be a floating-point tensor, got {tensor.dtype}")


def require_bool(name: str, tensor: object) -> None:
    """Raise TypeError unless `tensor` is a boolean tensor."""
    if not isinstance(tensor, Tensor):
        raise TypeError(f"{name} must be a torch tensor, got {type(tensor).__name__}")
    if tensor.dtype != torch.bool:
        raise TypeError(f"{name} must be a boolean tensor (True is padding), got {tensor.dtype}")


def require_shape(name: str, tensor: Tensor, shape: Sequence[int | None], letters: str) -> None:
    """Raise ValueError unless `tensor` has `shape` (None fits any size); `letters` names the axes."""
    fits = tensor.ndim == len(shape) and all(
        wanted is None or size == wanted for size, wanted in zip(tensor.shape, shape, strict=True)
    )
    if not fits:
        wanted = "(" + ", ".join("*" if size is None else str(size) for size in shape) + ")"
        raise ValueError(f"{name} must be {letters}, here {wanted}, got shape {tuple(tensor.shape)}")


def require_spatial_shapes(name: str, shapes: Sequence[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    """Return `shapes` as a tuple of (height, width); raise unless all are Python integers of at least 1."""
    if isinstance(shapes, Tensor):
        raise TypeError(f"{name} must be a sequence of (height, width) Python integers, got a tensor")
    pairs = tuple(tuple(pair) for pair in shapes)
    if not pairs:
        raise ValueError(f"{name} must hold at least one (height, width), got none")
    for pair in pairs:
        if len(pair) != 2 or not all(isinstance(side, int) for side in pair):
            raise TypeError(f"{name} must hold (height, width) pairs of Python integers, got {pair}")
        if min(pair) < 1:
            raise ValueError(f"{name} must have sides of at least 1, got {pair}")
    return pairs
