"""Chapter 4: its checks find what is wrong, and the code in the notebook is right by them."""

import pytest
import torch
from torch.testing import assert_close

from detr_tutorial import checks
from detr_tutorial.checks.chapter_04 import (
    angles_by_loops,
    encoding_by_loops,
    mask_of,
    places_by_search,
    points_by_loops,
)
from detr_tutorial.position import SinePositionEncoding
from tests.checks.notebook import Exercises

NOTEBOOK = "04_position_encoding"


class TestExercises(Exercises):
    solutions = 4
    judged = (2, 3)


def package_encoding(mask, num_features, temperature):
    return SinePositionEncoding(num_features, temperature)(mask)


def test_the_functions_of_the_chapter_pass_and_its_wrong_ones_are_recognized(chapter):
    assert checks.angles_of_cells(chapter["angles"]).passed
    assert checks.sine_encoding(chapter["sine_encoding"]).passed
    for check, wrong, sentence in (
        (checks.angles_of_cells, "without_mask", "you divided by the size of the padded map"),
        (checks.sine_encoding, "x_before_y", "you put x before y"),
        (checks.sine_encoding, "sines_before_cosines", "you put all sines before all cosines"),
    ):
        result = check(chapter[wrong])
        assert not result.passed
        assert sentence in result.message


def test_the_package_passes_the_check():
    result = checks.sine_encoding(package_encoding)
    assert result.passed, result.message


PLANTED = {
    "a little too far": lambda answer: answer * 1.01,
    "shifted": lambda answer: answer + 0.05,
    "the last axis in reverse": lambda answer: answer.flip(-1),
    "not a number": lambda answer: answer / 0,
    "an axis too many": lambda answer: answer[..., None],
    "detached into a string": str,
}


@pytest.mark.parametrize("planted", PLANTED)
@pytest.mark.parametrize(
    ("check", "right"),
    [
        (checks.sine_encoding, encoding_by_loops),
        (checks.point_encoding, points_by_loops),
        (checks.place_of_encoding, places_by_search),
    ],
    ids=lambda value: getattr(value, "name", None),
)
def test_an_answer_that_is_wrong_in_another_way_fails(check, right, planted):
    assert not check(lambda *inputs: PLANTED[planted](right(*inputs))).passed


def test_angles_that_are_wrong_on_one_axis_fail():
    for axis in (0, 1):

        def one_wrong(mask, axis=axis):
            answer = list(angles_by_loops(mask))
            answer[axis] = answer[axis] + 0.01
            return tuple(answer)

        assert not checks.angles_of_cells(one_wrong).passed


def test_what_an_answer_holds_in_the_padding_does_not_matter():
    def noisy(mask):
        return tuple(a.masked_fill(mask, 7.0) for a in angles_by_loops(mask))

    def noisy_encoding(mask, *others):
        return encoding_by_loops(mask, *others).masked_fill(mask[:, None], float("nan"))

    assert checks.angles_of_cells(noisy).passed
    assert checks.sine_encoding(noisy_encoding).passed


def test_an_answer_of_the_wrong_kind_is_reported_and_not_raised():
    for answer in (None, ..., 3, "text", (1, 2, 3), [torch.zeros(2)]):
        for check in (checks.angles_of_cells, checks.sine_encoding):
            assert not check(lambda *inputs, answer=answer: answer).passed
    assert "ValueError" in checks.angles_of_cells(raising).message


def raising(mask):
    raise ValueError("no")


def test_the_loops_agree_with_the_package():
    mask = mask_of([(3, 6), (4, 4)], 5, 7)
    valid = (~mask)[:, None].expand(-1, 12, -1, -1)
    ours, package = encoding_by_loops(mask, 6, 20.0), package_encoding(mask, 6, 20.0)
    assert_close(ours[valid], package[valid], atol=1e-5, rtol=0)
    y, x = angles_by_loops(mask)
    points = torch.stack([x[~mask], y[~mask]], dim=-1) / (2 * torch.pi)
    at_points = points_by_loops(points, 6, 20.0)
    assert_close(at_points, ours.permute(0, 2, 3, 1)[~mask], atol=1e-5, rtol=0)
    assert_close(places_by_search(at_points, 6), points, atol=1e-3, rtol=0)
