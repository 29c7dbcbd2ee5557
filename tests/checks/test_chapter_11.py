"""Chapter 11: its checks find what is wrong, and the code in the notebook is right by them."""

import pytest
import torch
from einops import rearrange
from torch.testing import assert_close

from detr_tutorial import checks
from detr_tutorial.checks.chapter_11 import (
    box_locations_by_loops,
    locations_by_loops,
    softmax_by_loops,
    star_by_loops,
)
from detr_tutorial.deformable_attention import MSDeformAttn, star_offsets
from detr_tutorial.reference_points import sampling_locations
from tests.checks.notebook import Exercises

NOTEBOOK = "11_sampling_offsets"


class TestExercises(Exercises):
    solutions = 5
    judged = (2, 3, 4)


def around_boxes(reference_boxes, sampling_offsets):
    """The package's form for boxes, which takes the sizes of the levels and does not use them."""
    return sampling_locations(reference_boxes, sampling_offsets, [(1, 1)] * sampling_offsets.shape[3])


def test_the_functions_of_the_chapter_pass_and_its_wrong_ones_are_recognized(chapter):
    assert checks.sampling_locations(chapter["locations_around_points"]).passed
    for check, wrong, sentence in (
        (checks.sampling_locations, "divided_by_height_width", "you divided x by H"),
        (checks.star_offsets, "slipped_star", "you wrote x and y into points 0 and 1"),
        (checks.star_offsets, "round_star", "your directions lie on a circle"),
    ):
        result = check(chapter[wrong])
        assert not result.passed
        assert sentence in result.message


@pytest.mark.parametrize(
    ("check", "right"),
    [
        (checks.sampling_locations, sampling_locations),
        (checks.box_sampling_locations, around_boxes),
        (checks.star_offsets, star_offsets),
    ],
    ids=lambda value: getattr(value, "name", None),
)
def test_the_package_passes_the_checks(check, right):
    result = check(right)
    assert result.passed, result.message


def flipped(axis):
    return lambda answer: answer.flip(axis)


PLANTED = {
    "a little too far": lambda answer: answer * 1.01,
    "heads in reverse": flipped(-4),
    "levels in reverse": flipped(-3),
    "points in reverse": flipped(-2),
    "(y, x)": flipped(-1),
    "shifted by half a cell": lambda answer: answer + 0.05,
    "only the first head": lambda answer: answer * 0 + answer[..., :1, :, :, :],
    "not a number": lambda answer: answer / 0,
    "an axis too many": lambda answer: answer[..., None],
    "detached into a string": str,
}


JUDGED = (
    (checks.sampling_locations, locations_by_loops),
    (checks.box_sampling_locations, box_locations_by_loops),
    (checks.star_offsets, star_by_loops),
)


@pytest.mark.parametrize(
    ("check", "right", "planted"),
    [
        pytest.param(check, right, planted, id=f"{check.name}: {planted}")
        for check, right in JUDGED
        for planted in PLANTED
        if (check.name, planted) != ("star_offsets", "levels in reverse")  # all levels of a star are alike
    ],
)
def test_an_answer_that_is_wrong_in_another_way_fails(check, right, planted):
    assert not check(lambda *inputs: PLANTED[planted](right(*inputs))).passed


@pytest.mark.parametrize(
    "spoil",
    [lambda w: w * 2, lambda w: w + 0.01, flipped(2), flipped(3), flipped(4), lambda w: w.square()],
)
def test_weights_that_are_wrong_in_another_way_fail(spoil):
    assert not checks.joint_softmax(lambda *inputs: spoil(softmax_by_loops(*inputs))).passed


def test_an_answer_that_is_right_on_square_maps_only_is_not_accepted():
    def square_only(reference_points, sampling_offsets, spatial_shapes):
        if all(height == width for height, width in spatial_shapes):
            return locations_by_loops(reference_points, sampling_offsets, spatial_shapes)
        return 2 * locations_by_loops(reference_points, sampling_offsets, spatial_shapes)

    assert not checks.sampling_locations(square_only).passed


def test_a_softmax_of_torch_agrees_with_the_loops():
    scores = torch.randn(2, 7, 3 * 2 * 4)
    by_torch = rearrange(scores, "B Q (M LK) -> B Q M LK", M=3).softmax(-1)
    by_torch = rearrange(by_torch, "B Q M (L K) -> B Q M L K", L=2)
    assert_close(softmax_by_loops(scores, 3, 2, 4), by_torch)


def test_the_star_of_the_loops_is_the_bias_of_a_fresh_layer():
    layer = MSDeformAttn(d_model=15, num_levels=2, num_heads=3, num_points=4)
    assert_close(layer.sampling_offsets.bias.detach().view(3, 2, 4, 2), star_by_loops(3, 2, 4))
