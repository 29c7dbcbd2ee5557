"""Chapter 9: its check finds what is wrong, and the code in the notebook is right by it."""

import pytest
import torch
from torch.testing import assert_close

from detr_tutorial import checks
from detr_tutorial.checks.chapter_09 import positions_by_loops
from detr_tutorial.features import flatten_levels, unflatten_levels
from tests.checks.notebook import Exercises

NOTEBOOK = "09_level_embeddings"


class TestExercises(Exercises):
    solutions = 4
    judged = (2,)


def test_the_function_of_the_chapter_passes(chapter):
    assert checks.level_positions(chapter["add_level_embedding"]).passed


def test_the_chapter_leaves_the_detector_as_it_was(chapter):
    assert torch.equal(chapter["detector"].level_embedding, chapter["trained"])


def test_the_package_passes_the_check():
    def package(positions, level_embedding, spatial_shapes):
        maps = unflatten_levels(positions, spatial_shapes)
        masks = [torch.zeros(len(m), *m.shape[2:], dtype=torch.bool) for m in maps]
        return flatten_levels(maps, maps, masks, level_embedding).positions

    result = checks.level_positions(package)
    assert result.passed, result.message


PLANTED = {
    "a little too far": lambda answer: answer * 1.01 + 0.01,
    "the batch in reverse": lambda answer: answer.flip(0) + answer.mean(),
    "the channels in reverse": lambda answer: answer.flip(-1),
    "not a number": lambda answer: answer / 0,
    "an axis too many": lambda answer: answer[..., None],
    "text": str,
}


@pytest.mark.parametrize("planted", PLANTED)
def test_an_answer_that_is_wrong_in_another_way_fails(planted):
    assert not checks.level_positions(lambda *inputs: PLANTED[planted](positions_by_loops(*inputs))).passed


def test_an_answer_of_the_wrong_kind_is_reported_and_not_raised():
    for answer in (None, ..., 3, "text", (1, 2), [torch.zeros(2)]):
        assert not checks.level_positions(lambda *inputs, answer=answer: answer).passed
    assert "ValueError" in checks.level_positions(raising).message


def raising(positions, level_embedding, spatial_shapes):
    raise ValueError("no")


def test_the_loops_add_one_vector_to_each_level():
    level_embedding = torch.randn(2, 3)
    answer = positions_by_loops(torch.zeros(2, 8, 3), level_embedding, [(2, 3), (1, 2)])
    assert_close(answer[1, :6], level_embedding[:1].expand(6, 3))
    assert_close(answer[0, 6:], level_embedding[1:].expand(2, 3))
