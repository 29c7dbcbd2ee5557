"""Chapter 6: its checks name every known mistake, and the code in the notebook is right by them."""

from typing import Any

import pytest

from detr_tutorial import checks
from detr_tutorial.checks.chapter_06 import bill_by_counting, levels_by_steps
from detr_tutorial.complexity import deformable_attention_cost, level_shapes
from tests.checks.notebook import judged, mistakes_of, run_chapter, solutions

NOTEBOOK = "06_cost_of_dense_attention"
CHECKS = (checks.level_sizes, checks.decoder_bill)


@pytest.fixture(scope="module")
def chapter() -> dict[str, Any]:
    """The notebook's names after a run of all its cells but the timed one; "results" by cell id."""
    return run_chapter(NOTEBOOK, skip="ch06-time-code")


def package_bill(num_queries, spatial_shapes, d_model, num_heads, num_points):
    tokens = sum(height * width for height, width in spatial_shapes)
    levels = len(spatial_shapes)
    return tuple(deformable_attention_cost(num_queries, tokens, d_model, num_heads, levels, num_points)[:3])


def test_every_solution_that_a_check_can_judge_passes_it(chapter):
    assert len(solutions(NOTEBOOK)) == 4
    checked = judged(NOTEBOOK, chapter)
    assert len(checked) == 2
    for result in checked:
        assert result.passed, result.message


def test_an_exercise_that_is_not_begun_says_so(chapter):
    for number in (2, 3):
        assert "not written yet" in chapter["results"][f"ch06-exercise-{number}"].message


@pytest.mark.parametrize(
    ("check", "right"),
    [(checks.level_sizes, level_shapes), (checks.decoder_bill, package_bill)],
    ids=lambda value: getattr(value, "name", None),
)
def test_the_package_passes_the_checks(check, right):
    result = check(right)
    assert result.passed, result.message


@pytest.mark.parametrize(
    ("check", "sentence", "wrong_function"),
    mistakes_of(CHECKS),
)
def test_a_known_mistake_is_named_with_its_own_sentence(check, sentence, wrong_function):
    result = check(wrong_function)
    assert not result.passed
    assert f"It looks as if {sentence}." in result.message
    assert (result.figure is None) == (check.draw is None)


@pytest.mark.parametrize("part", [0, 1, 2])
def test_a_bill_that_is_off_by_one_in_one_part_fails(part):
    def off_by_one(*sizes):
        bill = list(bill_by_counting(*sizes))
        bill[part] += 1
        return tuple(bill)

    assert not checks.decoder_bill(off_by_one).passed


def test_levels_that_are_wrong_in_another_way_fail():
    assert not checks.level_sizes(lambda *inputs: levels_by_steps(*inputs) + 1).passed
    assert not checks.level_sizes(lambda *inputs: levels_by_steps(*inputs)[:1]).passed
    assert not checks.level_sizes(lambda *inputs: "4 x 6").passed
