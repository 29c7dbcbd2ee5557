"""Chapter 16: its checks find what is wrong, and the code in the notebook is right by them."""

import pytest
import torch
from torch.testing import assert_close

from detr_tutorial import checks
from detr_tutorial.checks.chapter_16 import encode_boxes_by_loops, grid_proposals_by_loops
from detr_tutorial.features import FlattenedFeatures
from detr_tutorial.two_stage import encode_boxes, grid_proposals
from tests.checks.notebook import Exercises

NOTEBOOK = "16_two_stage"


class TestExercises(Exercises):
    solutions = 4
    judged = (2, 3)


def test_the_functions_of_the_chapter_pass(chapter):
    assert checks.grid_proposals(chapter["cell_boxes"]).passed
    assert checks.encode_boxes(chapter["encode"]).passed


def test_the_package_agrees_with_the_loops():
    assert checks.encode_boxes(encode_boxes).passed
    shapes, ratios = ((4, 6), (2, 3)), torch.tensor([[(1.0, 1.0), (1.0, 1.0)], [(0.5, 0.75), (0.75, 0.5)]])
    tokens = torch.zeros(2, 30, 8)
    flattened = FlattenedFeatures(tokens, tokens, torch.zeros(2, 30, dtype=torch.bool), shapes, ratios)
    boxes, _ = grid_proposals(flattened)
    assert_close(boxes, grid_proposals_by_loops(shapes, ratios).clamp(0, 1))


PLANTED = {
    "a little too far": lambda answer: answer * 1.01,
    "tokens in reverse": lambda answer: answer.flip(-2) + 1e-3,
    "channels in reverse": lambda answer: answer.flip(-1),
    "the first half": lambda answer: answer[..., : answer.shape[-1] // 2],
    "not a number": lambda answer: answer / 0 * 0,
    "detached into a string": str,
}


@pytest.mark.parametrize(
    ("check", "right"),
    [(checks.grid_proposals, grid_proposals_by_loops), (checks.encode_boxes, encode_boxes_by_loops)],
    ids=lambda value: getattr(value, "name", None),
)
@pytest.mark.parametrize("planted", PLANTED)
def test_an_answer_that_is_wrong_in_another_way_fails(check, right, planted):
    assert not check(lambda *inputs: PLANTED[planted](right(*inputs))).passed


def test_boxes_that_are_right_without_padding_only_are_not_accepted():
    def unpadded(spatial_shapes, valid_ratios):
        return grid_proposals_by_loops(spatial_shapes, torch.ones_like(valid_ratios))

    assert not checks.grid_proposals(unpadded).passed
