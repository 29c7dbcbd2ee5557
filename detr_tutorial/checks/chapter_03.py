"""The exercises of notebooks/03_backbone.ipynb: shrink a mask, normalize with frozen statistics."""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from einops import rearrange
from hypothesis import strategies as st
from matplotlib.figure import Figure
from torch import Tensor

from detr_tutorial.checks._check import Check, Inputs, tensors
from detr_tutorial.plots.chapter_03 import mask_against_target

# ---------------------------------------------------------------- the mask


def mask_by_loops(mask: Tensor, height: int, width: int) -> Tensor:
    """The definition, one cell at a time: (B, height, width)."""
    batch, rows, columns = mask.shape
    small = torch.zeros(batch, height, width, dtype=torch.bool)
    for b in range(batch):
        for i in range(height):
            for j in range(width):
                small[b, i, j] = mask[b, i * rows // height, j * columns // width]
    return small


def _interpolated(mode: str, turn: Callable[[Tensor], Tensor]) -> Callable[[Tensor, int, int], Tensor]:
    def wrong(mask: Tensor, height: int, width: int) -> Tensor:
        return turn(F.interpolate(mask[:, None].float(), size=(height, width), mode=mode)[:, 0])

    return wrong


def _reading(
    rows_of: Callable[[Tensor, int, int], Tensor],
) -> Callable[[Tensor, int, int], Tensor]:
    """Read the pixel that `rows_of(cells, number of cells, number of pixels)` names, on both axes."""

    def wrong(mask: Tensor, height: int, width: int) -> Tensor:
        rows = rows_of(torch.arange(height), height, mask.shape[1])
        columns = rows_of(torch.arange(width), width, mask.shape[2])
        return mask[:, rows][:, :, columns]

    return wrong


def _transposed(mask: Tensor, height: int, width: int) -> Tensor:
    return mask_by_loops(mask, width, height)


MASK_MISTAKES = (
    (
        "you read the pixel at the center of each cell: the pixel at its upper left corner, rounded down, "
        "keeps at least one cell of every image",
        _interpolated("nearest-exact", lambda mask: mask.bool()),
    ),
    (
        "you call a cell padding when any of its pixels is: a cell whose first pixel is image is valid",
        _interpolated("area", lambda mask: mask > 0),
    ),
    (
        "you call a cell padding when more than half of it is: look at its upper left pixel alone",
        _interpolated("area", lambda mask: mask > 0.5),
    ),
    (
        "you interpolated linearly and turned everything above zero into padding: take the nearest pixel",
        _interpolated("bilinear", lambda mask: mask > 0),
    ),
    (
        "you interpolated linearly and rounded: take the nearest pixel",
        _interpolated("bilinear", lambda mask: mask > 0.5),
    ),
    (
        "your mask is the other way round: True is padding",
        lambda mask, height, width: ~mask_by_loops(mask, height, width),
    ),
    (
        "you rounded the pixel's index up: round down",
        _reading(lambda cell, cells, pixels: ((cell * pixels + cells - 1) // cells).clamp(max=pixels - 1)),
    ),
    (
        "you stepped by a whole number of pixels, and read only the first part of the mask",
        _reading(lambda cell, cells, pixels: cell * (pixels // cells)),
    ),
    (
        "you let the first and the last cell read the first and the last pixel: cell j begins at j W / w",
        _reading(lambda cell, cells, pixels: cell * (pixels - 1) // max(cells - 1, 1)),
    ),
    ("you swapped height and width", _transposed),
)


@st.composite
def _masks(draw: Callable) -> dict:
    rows, columns = draw(st.integers(2, 12)), draw(st.integers(2, 12))
    batch = draw(st.integers(1, 2))
    mask = torch.ones(batch, rows, columns, dtype=torch.bool)
    for b in range(batch):
        mask[b, : draw(st.integers(1, rows)), : draw(st.integers(1, columns))] = False
    return {
        "mask": mask,
        "height": draw(st.integers(1, rows)),
        "width": draw(st.integers(1, columns)),
    }


def _example_mask() -> Tensor:
    mask = torch.ones(2, 11, 14, dtype=torch.bool)
    mask[0, :6, :14] = False
    mask[1, :11, :8] = False
    return mask


def _draw_mask(inputs: Inputs, yours: Tensor, target: Tensor) -> Figure:
    return mask_against_target(torch.as_tensor(yours)[0], target[0])


# ---------------------------------------------------------------- frozen batch norm


def norm_by_loops(
    features: Tensor, weight: Tensor, bias: Tensor, mean: Tensor, variance: Tensor, eps: float
) -> Tensor:
    """The definition, one channel at a time: (B, C, H, W)."""
    normed = torch.zeros_like(features)
    for b in range(features.shape[0]):
        for c in range(features.shape[1]):
            deviation = math.sqrt(variance[c].item() + eps)
            centered = features[b, c] - mean[c].item()
            normed[b, c] = weight[c].item() * centered / deviation + bias[c].item()
    return normed


def _per_channel(vector: Tensor) -> Tensor:
    return rearrange(vector, "C -> C 1 1")


def _with_statistics(axes: tuple[int, ...]) -> Callable[..., Tensor]:
    """Normalize with the features' own mean and variance over `axes`."""

    def wrong(features: Tensor, weight: Tensor, bias: Tensor, mean: Tensor, variance: Tensor, eps: float):
        own_mean = features.mean(axes, keepdim=True)
        own_variance = features.var(axes, keepdim=True, correction=0)
        normed = (features - own_mean) / (own_variance + eps).sqrt()
        return normed * _per_channel(weight) + _per_channel(bias)

    return wrong


def _formula(
    formula: Callable[[Tensor, Tensor, Tensor, Tensor, Tensor, float], Tensor],
) -> Callable[..., Tensor]:
    """A formula of (features, weight, bias, mean, variance, eps), with vectors along the channels."""

    def wrong(features: Tensor, weight: Tensor, bias: Tensor, mean: Tensor, variance: Tensor, eps: float):
        weight, bias, mean, variance = (_per_channel(vector) for vector in (weight, bias, mean, variance))
        return formula(features, weight, bias, mean, variance, eps)

    return wrong


def _along_width(
    features: Tensor, weight: Tensor, bias: Tensor, mean: Tensor, variance: Tensor, eps: float
) -> Tensor:
    return (features - mean) / (variance + eps).sqrt() * weight + bias


NORM_MISTAKES = (
    (
        "you took mean and variance from the batch: frozen statistics are given, and never computed",
        _with_statistics((0, 2, 3)),
    ),
    (
        "you took mean and variance from each image: that is instance norm",
        _with_statistics((2, 3)),
    ),
    (
        "you divided by the variance: divide by its square root",
        _formula(lambda x, w, b, mean, var, eps: (x - mean) / (var + eps) * w + b),
    ),
    (
        "you added eps to the square root: it belongs under it",
        _formula(lambda x, w, b, mean, var, eps: (x - mean) / (var.sqrt() + eps) * w + b),
    ),
    (
        "you left out eps",
        _formula(lambda x, w, b, mean, var, eps: (x - mean) / var.sqrt() * w + b),
    ),
    (
        "you left out weight and bias",
        _formula(lambda x, w, b, mean, var, eps: (x - mean) / (var + eps).sqrt()),
    ),
    (
        "you left out the bias",
        _formula(lambda x, w, b, mean, var, eps: (x - mean) / (var + eps).sqrt() * w),
    ),
    (
        "you left out the weight",
        _formula(lambda x, w, b, mean, var, eps: (x - mean) / (var + eps).sqrt() + b),
    ),
    (
        "you added the bias before multiplying by the weight",
        _formula(lambda x, w, b, mean, var, eps: ((x - mean) / (var + eps).sqrt() + b) * w),
    ),
    (
        "you did not subtract the mean",
        _formula(lambda x, w, b, mean, var, eps: x / (var + eps).sqrt() * w + b),
    ),
    (
        "you subtracted the mean after multiplying by the scale: it must be scaled as well",
        _formula(lambda x, w, b, mean, var, eps: x * w / (var + eps).sqrt() + b - mean),
    ),
    (
        "you broadcast the vectors along the width: a vector of C numbers must become (C, 1, 1)",
        _along_width,
    ),
)


@st.composite
def _features(draw: Callable) -> dict:
    batch, channels, height, width = (draw(st.integers(1, most)) for most in (2, 3, 2, 3))
    return {
        "features": draw(tensors(batch, channels, height, width)),
        "weight": draw(tensors(channels, simplest=1.0)),
        "bias": draw(tensors(channels)),
        "mean": draw(tensors(channels)),
        "variance": draw(tensors(channels, low=0.25, high=4.0, simplest=1.0)),
        "eps": draw(st.sampled_from([0.5, 0.25, 1.0])),  # large, so that leaving it out shows
    }


# ---------------------------------------------------------------- the checks

resize_mask = Check(
    name="resize_mask",
    reference=mask_by_loops,
    inputs=_masks(),
    mistakes=MASK_MISTAKES,
    example={"mask": _example_mask(), "height": 4, "width": 5},
    letters="(B, h, w)",
    draw=_draw_mask,
    num_inputs=60,
)

frozen_batch_norm = Check(
    name="frozen_batch_norm",
    reference=norm_by_loops,
    inputs=_features(),
    mistakes=NORM_MISTAKES,
    example={
        "features": torch.linspace(-2, 3, 36).sin().reshape(2, 3, 2, 3) * 2,
        "weight": torch.tensor([0.5, 2.0, -1.5]),
        "bias": torch.tensor([1.0, -0.5, 0.25]),
        "mean": torch.tensor([0.5, -1.0, 2.0]),
        "variance": torch.tensor([4.0, 0.25, 2.25]),
        "eps": 0.5,
    },
    letters="(B, C, H, W)",
)
