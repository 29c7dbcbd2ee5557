"""Readings against grid_sample, deformable convolution against torchvision: values and gradients."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from einops import rearrange
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.testing import assert_close
from torchvision.ops import deform_conv2d as deform_conv2d_of_torchvision

from detr_tutorial.sampling import bilinear_sample, deform_conv2d

FEW = settings(deadline=None, derandomize=True, max_examples=40, database=None)
CLOSE: Any = {"atol": 1e-5, "rtol": 1e-5}


def assert_same(ours: Tensor, theirs: Tensor, inputs: list[Tensor]) -> None:
    """Values, and the gradients of a random sum of the outputs."""
    assert_close(ours, theirs, **CLOSE)
    weights = torch.randn(ours.shape, generator=torch.Generator().manual_seed(1), dtype=ours.dtype)
    for mine, expected in zip(
        torch.autograd.grad(ours, inputs, weights), torch.autograd.grad(theirs, inputs, weights), strict=True
    ):
        assert_close(mine, expected, **CLOSE)


def random_points(*shape: int, scale: float, seed: int) -> Tensor:
    """Some anywhere, some exactly on centers."""
    generator = torch.Generator().manual_seed(seed)
    points = torch.randn(*shape, generator=generator) * scale
    whole = torch.rand(shape[:-1], generator=generator) < 0.3
    return torch.where(whole[..., None], points.round(), points)


@FEW
@given(st.integers(0, 3), st.integers(0, 3), st.integers(0, 99))
def test_a_reading_is_that_of_grid_sample(log_height, log_width, seed):
    size = (2**log_height, 2**log_width)  # powers of two: no rounding moves a point off its center
    feature_map = torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(seed)).requires_grad_()
    points = (random_points(2, 11, 2, scale=3, seed=seed) + 1).requires_grad_()
    width_height = torch.tensor([size[1], size[0]])
    grid = ((2 * points + 1) / width_height - 1)[:, None]
    theirs = F.grid_sample(feature_map, grid, padding_mode="zeros", align_corners=False)[:, :, 0]
    assert_same(bilinear_sample(feature_map, points), theirs, [feature_map, points])


@FEW
@given(
    kernel=st.tuples(st.integers(1, 3), st.integers(1, 4)),
    stride=st.integers(1, 3),
    padding=st.integers(0, 3),
    dilation=st.integers(1, 3),
    modulated=st.booleans(),
    scale=st.sampled_from([0.0, 0.7, 4.0]),
    seed=st.integers(0, 99),
)
def test_deformable_convolution_is_that_of_torchvision(
    kernel, stride, padding, dilation, modulated, scale, seed
):
    generator = torch.Generator().manual_seed(seed)
    feature_map = torch.randn(2, 3, 10, 12, generator=generator).requires_grad_()
    weight = (torch.randn(5, 3, *kernel, generator=generator) / 3).requires_grad_()
    bias = torch.randn(5, generator=generator).requires_grad_()
    size = F.conv2d(feature_map, weight, bias, stride, padding, dilation).shape[2:]
    count = kernel[0] * kernel[1]
    offsets = random_points(2, *size, count, 2, scale=scale, seed=seed).requires_grad_()
    modulation = torch.rand(2, *size, count, generator=generator).requires_grad_() if modulated else None
    ours = deform_conv2d(
        feature_map,
        offsets,
        weight,
        bias,
        stride=stride,
        padding=padding,
        dilation=dilation,
        modulation=modulation,
    )
    theirs = deform_conv2d_of_torchvision(
        feature_map,
        rearrange(offsets.flip(-1), "B h w N yx -> B (N yx) h w"),
        weight,
        bias,
        stride=(stride, stride),
        padding=(padding, padding),
        dilation=(dilation, dilation),
        mask=None if modulation is None else rearrange(modulation, "B h w N -> B N h w"),
    )
    inputs = [feature_map, offsets, weight, bias]
    assert_same(ours, theirs, inputs if modulation is None else [*inputs, modulation])


@pytest.mark.parametrize("axis", [0, 1])
def test_offsets_given_the_other_way_round_are_not_theirs(axis):
    feature_map = torch.arange(42.0).view(1, 1, 6, 7)
    offsets = torch.zeros(1, 6, 7, 9, 2)
    offsets[..., axis] = 1.0
    weight = torch.ones(1, 1, 3, 3)
    swapped = rearrange(offsets, "B h w N xy -> B (N xy) h w")
    wrong = deform_conv2d_of_torchvision(feature_map, swapped, weight, padding=(1, 1))
    assert not torch.allclose(deform_conv2d(feature_map, offsets, weight, padding=1), wrong)
