"""Chapter 15: its checks find what is wrong, and the code in the notebook is right by them."""

import pytest
import torch
from torch.testing import assert_close

from detr_tutorial import checks
from detr_tutorial.checks.chapter_15 import move_boxes_by_loops, refine_by_loops
from detr_tutorial.refinement import move_boxes
from tests.checks.notebook import Exercises

NOTEBOOK = "15_box_refinement"


class TestExercises(Exercises):
    solutions = 4
    judged = (2, 3)


def test_the_functions_of_the_chapter_pass(chapter):
    assert checks.move_boxes(chapter["move"]).passed
    boxes = torch.rand(2, 7, 4)
    deltas = torch.randn(3, 2, 7, 4)
    assert_close(chapter["my_refinement"](boxes, deltas), refine_by_loops(boxes, deltas))


def test_the_package_passes_the_check():
    result = checks.move_boxes(move_boxes)
    assert result.passed, result.message


PLANTED = {
    "a little too far": lambda boxes: boxes * 1.01,
    "queries in reverse": lambda boxes: boxes.flip(-2) + 1e-3,
    "(h, w, cy, cx)": lambda boxes: boxes.flip(-1),
    "centers only": lambda boxes: boxes[..., :2],
    "corners": lambda boxes: torch.cat([boxes[..., :2] - boxes[..., 2:] / 2, boxes[..., 2:]], dim=-1),
    "not a number": lambda boxes: boxes / 0 * 0,
    "detached into a string": str,
}


@pytest.mark.parametrize(
    ("check", "right"),
    [(checks.move_boxes, move_boxes_by_loops), (checks.refine, refine_by_loops)],
    ids=lambda value: getattr(value, "name", None),
)
@pytest.mark.parametrize("planted", PLANTED)
def test_an_answer_that_is_wrong_in_another_way_fails(check, right, planted):
    assert not check(lambda *inputs: PLANTED[planted](right(*inputs))).passed


def test_refinement_that_is_right_for_points_only_is_not_accepted():
    def points_only(start, deltas):
        return refine_by_loops(start[..., :2], deltas)

    assert not checks.refine(points_only).passed
