"""Wrong arguments to the reading and to deformable convolution give one clear line."""

# pyright: reportArgumentType=false

import pytest
import torch

from detr_tutorial.sampling import (
    DeformableConv2d,
    bilinear_kernel,
    bilinear_sample,
    deform_conv2d,
    kernel_grid,
)

NAN = float("nan")


def convolve(**changes):
    arguments = {
        "feature_map": torch.zeros(2, 3, 5, 7),
        "offsets": torch.zeros(2, 5, 7, 9, 2),
        "weight": torch.zeros(4, 3, 3, 3),
        "bias": torch.zeros(4),
        "padding": 1,
    }
    return deform_conv2d(**(arguments | changes))


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"feature_map": torch.zeros(3, 5, 7)}, ValueError, r"feature_map must have shape \(B, C, H, W\)"),
        ({"feature_map": torch.zeros(2, 3, 5, 7).int()}, TypeError, "feature_map must be a floating"),
        ({"feature_map": torch.zeros(2, 4, 5, 7)}, ValueError, r"weight must have shape \(out, 4, kh, kw\)"),
        ({"offsets": torch.zeros(2, 18, 5, 7)}, ValueError, r"offsets must have shape \(2, 5, 7, 9, 2\)"),
        ({"offsets": torch.zeros(2, 7, 5, 9, 2)}, ValueError, "offsets must have shape"),
        ({"offsets": torch.full((2, 5, 7, 9, 2), NAN)}, ValueError, "offsets must be finite"),
        ({"weight": torch.zeros(4, 3, 3)}, ValueError, "weight must have shape"),
        ({"weight": torch.zeros(4, 3, 9, 3)}, ValueError, r"weight of \(9, 3\) does not fit on a map of"),
        ({"bias": torch.zeros(5)}, ValueError, r"bias must have shape \(4\)"),
        ({"stride": 0}, ValueError, "stride must be at least 1, got 0"),
        ({"stride": (1, 1)}, TypeError, "stride must be an int, got tuple"),
        ({"padding": -1}, ValueError, "padding must be at least 0"),
        ({"dilation": 1.0}, TypeError, "dilation must be an int, got float"),
        ({"modulation": torch.zeros(2, 9, 5, 7)}, ValueError, r"modulation must have shape \(2, 5, 7, 9\)"),
    ],
)
def test_bad_arguments_of_the_convolution_are_named(changes, error, message):
    with pytest.raises(error, match=message):
        convolve(**changes)


@pytest.mark.parametrize(
    ("feature_map", "points", "error", "message"),
    [
        (torch.zeros(3, 5, 7), torch.zeros(1, 4, 2), ValueError, "feature_map must have shape"),
        (torch.zeros(2, 3, 5, 7), torch.zeros(1, 4, 2), ValueError, r"points must have shape \(2, P, 2\)"),
        (torch.zeros(1, 3, 5, 7), torch.zeros(1, 4, 3), ValueError, "points must have shape"),
        (torch.zeros(1, 3, 5, 7), torch.zeros(1, 4, 2).long(), TypeError, "points must be a floating"),
        (torch.zeros(1, 3, 5, 7), torch.full((1, 4, 2), NAN), ValueError, "points must be finite, got 8"),
        (torch.zeros(1, 3, 0, 7), torch.zeros(1, 4, 2), ValueError, "feature_map is empty along H"),
    ],
)
def test_bad_arguments_of_the_reading_are_named(feature_map, points, error, message):
    with pytest.raises(error, match=message):
        bilinear_sample(feature_map, points)


def test_bad_arguments_of_kernel_grid_and_layer_are_named():
    with pytest.raises(TypeError, match="distance must be a floating tensor"):
        bilinear_kernel(torch.arange(3))
    with pytest.raises(TypeError, match="kernel_size must be a"):
        kernel_grid(3)
    with pytest.raises(ValueError, match="dilation must be at least 1, got 0"):
        kernel_grid((3, 3), 0)
    with pytest.raises(ValueError, match="out_channels must be at least 1, got 0"):
        DeformableConv2d(3, 0)
    with pytest.raises(TypeError, match="kernel_size must be an int"):
        DeformableConv2d(3, 4, kernel_size=(3, 3))
    with pytest.raises(ValueError, match=r"feature_map must have shape \(B, 3, H, W\)"):
        DeformableConv2d(3, 4)(torch.zeros(1, 2, 5, 5))
