"""Chapter 6: its checks find what is wrong, and the code in the notebook is right by them."""

import pytest

from detr_tutorial import checks
from detr_tutorial.checks.chapter_06 import bill_by_counting, levels_by_steps
from detr_tutorial.complexity import deformable_attention_cost, level_shapes
from tests.checks.notebook import Exercises

NOTEBOOK = "06_cost_of_dense_attention"
SKIP = "ch06-time-code"  # the cell that only measures time


class TestExercises(Exercises):
    solutions = 4
    judged = (2, 3)


def package_bill(num_queries, spatial_shapes, d_model, num_heads, num_points):
    tokens = sum(height * width for height, width in spatial_shapes)
    levels = len(spatial_shapes)
    return tuple(deformable_attention_cost(num_queries, tokens, d_model, num_heads, levels, num_points)[:3])


@pytest.mark.parametrize(
    ("check", "right"),
    [(checks.level_sizes, level_shapes), (checks.decoder_bill, package_bill)],
    ids=lambda value: getattr(value, "name", None),
)
def test_the_package_passes_the_checks(check, right):
    result = check(right)
    assert result.passed, result.message


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
