"""Reading between cells, and deformable convolution."""

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.testing import assert_close

from detr_tutorial.sampling import (
    DeformableConv2d,
    bilinear_kernel,
    bilinear_sample,
    deform_conv2d,
    kernel_grid,
)

FEW = settings(deadline=None, derandomize=True, max_examples=40, database=None)


def by_loops(feature_map: torch.Tensor, x: float, y: float) -> torch.Tensor:
    """Equation 3 over all cells of one map (C, H, W)."""
    total = torch.zeros(len(feature_map), dtype=feature_map.dtype)
    for row in range(feature_map.shape[1]):
        for column in range(feature_map.shape[2]):
            total += max(0, 1 - abs(x - column)) * max(0, 1 - abs(y - row)) * feature_map[:, row, column]
    return total


def test_the_kernel_is_a_hat():
    distances = torch.tensor([-1.5, -1.0, -0.25, 0.0, 0.5, 1.0, 7.0])
    assert_close(bilinear_kernel(distances), torch.tensor([0.0, 0.0, 0.75, 1.0, 0.5, 0.0, 0.0]))


def test_the_kernels_slope_at_a_kink_is_the_one_to_its_right():
    distances = torch.tensor([-1.0, -0.5, 0.0, 0.5, 1.0], requires_grad=True)
    (slopes,) = torch.autograd.grad(bilinear_kernel(distances).sum(), distances)
    assert slopes.tolist() == [1.0, 1.0, -1.0, -1.0, 0.0]


@FEW
@given(st.integers(1, 5), st.integers(1, 6), st.integers(-12, 28), st.integers(-12, 28), st.integers(0, 9))
def test_a_reading_is_the_sum_over_all_cells(height, width, x, y, seed):
    generator = torch.Generator().manual_seed(seed)
    feature_map = torch.randn(2, 3, height, width, generator=generator, dtype=torch.float64)
    points = torch.tensor([[[x / 4, y / 4]], [[y / 4, x / 4]]], dtype=torch.float64)
    read = bilinear_sample(feature_map, points)
    assert_close(read[0, :, 0], by_loops(feature_map[0], x / 4, y / 4))
    assert_close(read[1, :, 0], by_loops(feature_map[1], y / 4, x / 4))


def test_a_point_on_a_center_reads_its_cell_and_x_is_the_column():
    feature_map = torch.arange(24.0).view(1, 1, 4, 6)
    assert bilinear_sample(feature_map, torch.tensor([[[5.0, 1.0]]])).item() == 11.0


def test_only_four_cells_get_a_gradient():
    feature_map = torch.randn(1, 2, 5, 7, requires_grad=True)
    read = bilinear_sample(feature_map, torch.tensor([[[2.25, 3.5]]])).sum()
    (to_map,) = torch.autograd.grad(read, feature_map)
    assert to_map[0, 0].nonzero().tolist() == [[3, 2], [3, 3], [4, 2], [4, 3]]
    assert_close(to_map.sum(), torch.tensor(2.0))


def test_gradients_of_a_reading_are_those_of_small_differences():
    generator = torch.Generator().manual_seed(0)
    feature_map = torch.randn(2, 2, 3, 4, generator=generator, dtype=torch.float64, requires_grad=True)
    points = torch.rand(2, 5, 2, generator=generator, dtype=torch.float64) * 5 - 1
    assert torch.autograd.gradcheck(bilinear_sample, (feature_map, points.requires_grad_()))


def test_the_weight_beyond_the_edge_is_lost():
    ones = torch.ones(1, 1, 3, 5)
    points = torch.tensor([[[-0.25, 1.0], [4.5, 2.5], [-1.0, 0.0], [9.0, 9.0]]])
    assert_close(bilinear_sample(ones, points), torch.tensor([[[0.75, 0.25, 0.0, 0.0]]]))


def test_half_precision_maps_are_read_in_their_own_type():
    feature_map = torch.randn(1, 2, 4, 5).bfloat16()
    assert bilinear_sample(feature_map, torch.rand(1, 3, 2)).dtype == torch.bfloat16


def test_the_grid_goes_row_by_row_around_its_middle():
    assert kernel_grid((1, 3)).tolist() == [[-1, 0], [0, 0], [1, 0]]
    assert kernel_grid((3, 1), dilation=2).tolist() == [[0, -2], [0, 0], [0, 2]]
    assert kernel_grid((2, 2)).tolist() == [[-0.5, -0.5], [0.5, -0.5], [-0.5, 0.5], [0.5, 0.5]]


@FEW
@given(
    kernel=st.tuples(st.integers(1, 4), st.integers(1, 3)),
    stride=st.integers(1, 3),
    padding=st.integers(0, 3),
    dilation=st.integers(1, 3),
)
def test_with_points_at_rest_it_is_an_ordinary_convolution(kernel, stride, padding, dilation):
    torch.manual_seed(0)
    feature_map, weight, bias = torch.randn(2, 3, 10, 8), torch.randn(5, 3, *kernel), torch.randn(5)
    options = {"stride": stride, "padding": padding, "dilation": dilation}
    expected = F.conv2d(feature_map, weight, bias, **options)
    offsets = torch.zeros(2, *expected.shape[2:], math.prod(kernel), 2)
    ours = deform_conv2d(feature_map, offsets, weight, bias, **options)
    assert_close(ours, expected, atol=1e-5, rtol=1e-5)


def test_an_offset_moves_right_and_down_by_cells_of_the_input():
    ramp = torch.arange(7.0)[:, None] * 10 + torch.arange(9.0)  # row 2, column 3 holds 23
    middle = torch.zeros(1, 1, 3, 3)
    middle[..., 1, 1] = 1
    offsets = torch.zeros(1, 4, 5, 9, 2)
    offsets[:, 1, 2, 4] = torch.tensor([1.0, 0.5])
    still = deform_conv2d(ramp[None, None], 0 * offsets, middle, stride=2, padding=1)
    moved = deform_conv2d(ramp[None, None], offsets, middle, stride=2, padding=1)
    difference = (moved - still)[0, 0]
    assert difference[1, 2] == 6.0
    assert difference.abs().sum() == 6.0


def test_modulation_multiplies_each_reading():
    torch.manual_seed(0)
    feature_map, weight = torch.randn(2, 3, 5, 6), torch.randn(4, 3, 3, 3)
    offsets, modulation = torch.randn(2, 5, 6, 9, 2), torch.zeros(2, 5, 6, 9)
    modulation[..., 3] = 2.0
    only_point_3 = torch.zeros_like(weight)
    only_point_3[:, :, 1, 0] = 2 * weight[:, :, 1, 0]
    assert_close(
        deform_conv2d(feature_map, offsets, weight, padding=1, modulation=modulation),
        deform_conv2d(feature_map, offsets, only_point_3, padding=1),
    )


@pytest.mark.parametrize(
    "settings_of_layer", [{}, {"kernel_size": 5, "stride": 2, "padding": 3, "dilation": 2}]
)
def test_the_layer_starts_as_its_convolution_and_its_offsets_learn(settings_of_layer):
    torch.manual_seed(0)
    layer, feature_map = DeformableConv2d(3, 4, **settings_of_layer), torch.randn(2, 3, 9, 11)
    output = layer(feature_map)
    assert_close(output, layer.conv(feature_map), atol=1e-5, rtol=1e-5)
    output.square().sum().backward()
    gradient = layer.to_offsets.weight.grad
    assert gradient is not None
    assert (gradient != 0).any()


def test_the_layers_offsets_depend_on_what_lies_there():
    torch.manual_seed(0)
    layer = DeformableConv2d(3, 4)
    nn.init.normal_(layer.to_offsets.weight)
    feature_map = torch.randn(1, 3, 8, 9)
    offsets = layer.predict_offsets(feature_map)
    assert offsets.shape == (1, 8, 9, 9, 2)
    moved = layer.predict_offsets(feature_map.roll(1, dims=3))
    assert_close(moved[:, :, 3:8], offsets[:, :, 2:7])
    assert not offsets[0, 2, 2].allclose(offsets[0, 2, 3])
