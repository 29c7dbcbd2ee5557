"""Checks at the door: one line that names the argument, what was expected, and what came."""

from collections.abc import Sequence
from numbers import Real
from typing import Any, Literal

import torch
from torch import Tensor

Kind = Literal["floating", "bool", "integer", "any"]


def _shape(tensor: Tensor) -> str:
    return "(" + ", ".join(str(size) for size in tensor.shape) + ")"


def _kind(tensor: Tensor) -> Kind:
    if tensor.dtype == torch.bool:
        return "bool"
    if tensor.is_floating_point():
        return "floating"
    return "any" if tensor.is_complex() else "integer"


def require_tensor(name: str, value: Any, shape: str, kind: Kind = "floating") -> Tensor:
    """Demand a tensor of a kind and a shape; numbers in `shape` must match, letters match any size but 0.

    Args:
        name: the argument's name, as the caller knows it.
        value: what came.
        shape: axes separated by spaces, e.g. "B 3 H W"; "..." in front matches any leading axes, also none.
            An axis called N may be empty, all others hold at least one element.
        kind: "floating", "bool", "integer" or "any".
    Returns:
        The tensor, unchanged.
    Raises:
        TypeError: not a tensor, or of another kind.
        ValueError: of another shape, or with an empty axis.
    """
    if not isinstance(value, Tensor):
        raise TypeError(f"{name} must be a tensor of shape ({shape}), got {type(value).__name__}")
    axes = shape.split()
    sizes = tuple(value.shape)
    if axes[0] == "...":
        axes = axes[1:]
        right_rank = len(sizes) >= len(axes)
        sizes = sizes[len(sizes) - len(axes) :]
    else:
        right_rank = len(sizes) == len(axes)
    expected = f"{name} must have shape ({', '.join(shape.split())}), got {_shape(value)}"
    if not right_rank:
        raise ValueError(expected)
    for axis, size in zip(axes, sizes, strict=True):
        if axis.isdigit() and size != int(axis):
            raise ValueError(expected)
        if size == 0 and axis != "N":
            raise ValueError(f"{name} is empty along {axis}: shape {_shape(value)}")
    if kind not in ("any", _kind(value)):
        raise TypeError(f"{name} must be a {kind} tensor, got {value.dtype}")
    return value


def require_finite(name: str, tensor: Tensor) -> Tensor:
    """Demand that no element is NaN or infinite (not looked at inside `torch.compile`)."""
    if tensor.numel() == 0 or torch.compiler.is_compiling():
        return tensor
    extremes = torch.stack(torch.aminmax(tensor.detach()))  # one pass; NaN shows in both
    if not torch.isfinite(extremes).all():
        count = int((~torch.isfinite(tensor)).sum())
        raise ValueError(f"{name} must be finite, got {count} NaN or infinite of {tensor.numel()} values")
    return tensor


def require_int(name: str, value: Any, minimum: int = 1) -> int:
    """Demand a Python integer of at least `minimum` (a bool is not one)."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} must be an int, got {type(value).__name__}")
    if value < minimum:
        raise ValueError(f"{name} must be at least {minimum}, got {value}")
    return value


def require_number(name: str, value: Any, above: int | float | None = None) -> float:
    """Demand a finite Python number, greater than `above` where that is given."""
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{name} must be a number, got {type(value).__name__}")
    number = float(value)
    if number != number or abs(number) == float("inf"):
        raise ValueError(f"{name} must be finite, got {value}")
    if above is not None and number <= above:
        raise ValueError(f"{name} must be greater than {above:g}, got {value}")
    return number


def require_divisible(name: str, value: int, divisor_name: str, divisor: int) -> int:
    """Demand that `value` is a multiple of `divisor`."""
    if value % divisor:
        raise ValueError(f"{name}={value} is not divisible by {divisor_name}={divisor}")
    return value


def require_list(name: str, value: Any, of: str, minimum: int = 1) -> list[Any]:
    """Demand a list or tuple with at least `minimum` elements; a single tensor or a string is neither."""
    if isinstance(value, (str, bytes)) or not isinstance(value, Sequence):
        raise TypeError(f"{name} must be a list or tuple of {of}, got {type(value).__name__}")
    if len(value) < minimum:
        raise ValueError(f"{name} must hold at least {minimum} of {of}, got {len(value)}")
    return list(value)


def require_size(name: str, value: Any) -> tuple[int, int]:
    """Demand (height, width), two Python integers of at least 1."""
    if not isinstance(value, (tuple, list)) or len(value) != 2:
        raise TypeError(f"{name} must be a (height, width) pair of ints, got {value!r}")
    return require_int(f"{name}[0] (height)", value[0]), require_int(f"{name}[1] (width)", value[1])


def require_spatial_shapes(name: str, value: Any) -> tuple[tuple[int, int], ...]:
    """Demand a list of (height, width) pairs of Python integers, one a level."""
    if isinstance(value, Tensor):
        raise TypeError(f"{name} must be a list of (height, width) pairs of Python ints, got a tensor")
    pairs = require_list(name, value, "(height, width) pairs")
    return tuple(require_size(f"{name}[{level}]", pair) for level, pair in enumerate(pairs))


def require_references(name: str, tensor: Tensor) -> Tensor:
    """Demand that the last axis holds points (x, y) or boxes (cx, cy, w, h)."""
    if tensor.shape[-1] not in (2, 4):
        raise ValueError(
            f"{name} must end in an axis of 2 (x, y) or 4 (cx, cy, w, h), got {tensor.shape[-1]}"
        )
    return tensor
