"""Chapter 7: its checks find what is wrong, and the code in the notebook is right by them."""

import pytest
import torch
from einops import rearrange
from torch.testing import assert_close
from torchvision.ops import deform_conv2d as deform_conv2d_of_torchvision

from detr_tutorial import checks
from detr_tutorial.checks.chapter_07 import grid_offsets_by_loops, receptive_field_by_loops
from detr_tutorial.sampling import bilinear_sample, kernel_grid
from tests.checks.notebook import Exercises

NOTEBOOK = "07_deformable_convolution"


class TestExercises(Exercises):
    solutions = 4
    judged = (2, 3)


def test_the_chapters_own_receptive_field_passes_the_check(chapter):
    result = checks.receptive_field(chapter["receptive_field"])
    assert result.passed, result.message


PLANTED = {
    "always odd": lambda layers: receptive_field_by_loops(layers) | 1,
    "only three layers": lambda layers: receptive_field_by_loops(layers[:3]),
    "area": lambda layers: receptive_field_by_loops(layers) ** 2,
}


@pytest.mark.parametrize("planted", list(PLANTED))
def test_a_field_that_is_wrong_in_another_way_fails(planted):
    assert not checks.receptive_field(PLANTED[planted]).passed


@pytest.mark.parametrize(
    "spoil",
    [lambda offsets: offsets.flip(0), lambda offsets: offsets * 1.001, lambda offsets: offsets.T],
    ids=["points in reverse", "a little too large", "transposed"],
)
def test_offsets_that_are_wrong_in_another_way_fail(spoil):
    assert not checks.grid_offsets(lambda *inputs: spoil(grid_offsets_by_loops(*inputs))).passed


@pytest.mark.parametrize("seed", range(4))
def test_the_chapters_reading_equals_the_packages_inside_and_outside(chapter, seed):
    generator = torch.Generator().manual_seed(seed)
    feature_map = torch.randn(2, 3, 4 + seed, 7, generator=generator)
    points = torch.rand(2, 11, 2, generator=generator) * 12 - 3
    points[:, ::3] = points[:, ::3].round()  # some on centers
    inputs = (feature_map.requires_grad_(), points.requires_grad_())
    ours, theirs = chapter["read"](*inputs), bilinear_sample(*inputs)
    assert_close(ours, theirs, atol=1e-5, rtol=1e-5)
    for mine, expected in zip(
        torch.autograd.grad(ours.sum(), inputs), torch.autograd.grad(theirs.sum(), inputs), strict=True
    ):
        assert_close(mine, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("seed", range(4))
def test_the_chapters_convolution_equals_torchvisions(chapter, seed):
    generator = torch.Generator().manual_seed(seed)
    feature_map = torch.randn(2, 3, 5 + seed, 4, generator=generator)
    weight = torch.randn(5, 3, 3, 3, generator=generator)
    offsets = torch.randn(2, 5 + seed, 4, 9, 2, generator=generator) * seed  # seed 0: all on centers
    inputs = (feature_map.requires_grad_(), offsets.requires_grad_(), weight.requires_grad_())
    ours = chapter["deformable_conv"](*inputs)
    as_channels = rearrange(offsets.flip(-1), "B H W N yx -> B (N yx) H W")
    theirs = deform_conv2d_of_torchvision(feature_map, as_channels, weight, padding=(1, 1))
    assert_close(ours, theirs, atol=1e-5, rtol=1e-5)
    for mine, expected in zip(
        torch.autograd.grad(ours.square().mean(), inputs),
        torch.autograd.grad(theirs.square().mean(), inputs),
        strict=True,
    ):
        assert_close(mine, expected, atol=1e-5, rtol=1e-5)


def test_the_moving_layer_of_the_chapter_learned_where_the_answer_is(chapter):
    assert chapter["deformable"] < 0.02 * chapter["variance"] < 0.1 * chapter["ordinary"]
    assert chapter["grid"].equal(kernel_grid())
