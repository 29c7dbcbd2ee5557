"""Chapter 8: its checks find what is wrong, and the code in the notebook is right by them."""

import pytest
import torch
from torch.testing import assert_close

from detr_tutorial import checks
from detr_tutorial.checks.chapter_08 import address_by_counting, patch_by_counting, tokens_by_loops
from detr_tutorial.features import flatten_levels, unflatten_levels
from detr_tutorial.reference_points import encoder_reference_points
from tests.checks.notebook import Exercises

NOTEBOOK = "08_feature_flattening"
CHECKS = (checks.flatten_maps, checks.token_address, checks.token_patch)
SHAPES = ((4, 7), (2, 4), (1, 2))


class TestExercises(Exercises):
    solutions = 4
    judged = (2, 3)


def test_the_functions_of_the_chapter_pass_and_its_wrong_one_is_recognized(chapter):
    assert checks.flatten_maps(chapter["flatten"]).passed
    assert checks.token_address(chapter["address_of"]).passed
    result = checks.flatten_maps(chapter["reshaped"])
    assert not result.passed
    assert "without moving its channels" in result.message


def test_the_package_passes_the_check():
    def package(maps):
        masks = [torch.zeros(len(m), *m.shape[2:], dtype=torch.bool) for m in maps]
        return flatten_levels(maps, maps, masks, torch.zeros(len(maps), maps[0].shape[1])).tokens

    result = checks.flatten_maps(package)
    assert result.passed, result.message


def test_addresses_agree_with_the_package_and_patches_with_its_reference_points():
    token = torch.arange(sum(height * width for height, width in SHAPES))
    numbered = unflatten_levels(token[None, :, None].float(), SHAPES)
    for number, level, row, column in zip(token, *address_by_counting(token, SHAPES), strict=True):
        assert numbered[level][0, 0, row, column] == number
    points = encoder_reference_points(SHAPES, torch.ones(1, len(SHAPES), 2))[0, :, 0]  # S 2, (x, y)
    for number, point in enumerate(points):
        x1, y1, x2, y2 = patch_by_counting(number, SHAPES, (30, 50))
        middle = torch.stack([(x1 + x2) / 2 / 50, (y1 + y2) / 2 / 30])
        assert_close(middle, point)


PLANTED = {
    "one too many": lambda answer: answer + 1,
    "in reverse": lambda answer: answer.flip(0) + 0.5,
    "an axis too many": lambda answer: answer[..., None],
    "text": str,
}


@pytest.mark.parametrize("planted", PLANTED)
def test_an_answer_that_is_wrong_in_another_way_fails(planted):
    wrong = PLANTED[planted]
    assert not checks.flatten_maps(lambda maps: wrong(tokens_by_loops(maps))).passed
    assert not checks.token_patch(lambda *inputs: wrong(patch_by_counting(*inputs))).passed
    for part in range(3):

        def one_wrong(*inputs, part=part):
            answer = list(address_by_counting(*inputs))
            answer[part] = wrong(answer[part])
            return tuple(answer)

        assert not checks.token_address(one_wrong).passed


def test_an_answer_of_the_wrong_kind_is_reported_and_not_raised():
    for answer in (None, ..., 3, "text", (1, 2), [torch.zeros(2)]):
        for check in CHECKS:
            assert not check(lambda *inputs, answer=answer: answer).passed
    assert "ValueError" in checks.flatten_maps(raising).message


def raising(maps):
    raise ValueError("no")
