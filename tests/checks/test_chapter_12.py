"""Chapter 12: its checks find what is wrong, and the code in the notebook is right by them."""

import pytest
import torch
from torch.testing import assert_close

from detr_tutorial import checks
from detr_tutorial.checks.chapter_12 import bilinear_sample_by_loops, ms_deform_attn_by_loops
from detr_tutorial.deformable_attention import ms_deform_attn
from detr_tutorial.measure import measure
from tests.checks.notebook import Exercises

NOTEBOOK = "12_grid_sample_attention"
SKIP = "ch12-cost"  # cells that only measure time


class TestExercises(Exercises):
    solutions = 4
    judged = (2, 4)


@pytest.mark.parametrize("form", ["deform_attn_loops", "deform_attn_grid_sample", "deform_attn_stacked"])
def test_the_forms_of_the_notebook_pass_the_check(chapter, form):
    result = checks.ms_deform_attn(chapter[form])
    assert result.passed, result.message


@pytest.mark.parametrize("seed", range(5))
def test_the_notebooks_embedding_bag_form_equals_the_package(chapter, seed):
    torch.manual_seed(seed)
    shapes = [(2 + seed, 7), (3, 2), (2, 5)]  # at least two cells a side, as the chapter says
    value, locations, weights = chapter["random_inputs"](K=1 + seed, spatial_shapes=shapes)
    assert_close(
        chapter["deform_attn_embedding_bag"](value, shapes, locations, weights),
        ms_deform_attn(value, shapes, locations, weights, implementation="loops"),
    )


def test_the_notebooks_reading_passes_the_check(chapter):
    result = checks.bilinear_sample(chapter["bilinear_sample"])
    assert result.passed, result.message


@pytest.mark.parametrize("implementation", ["loops", "grid_sample", "embedding_bag", "auto"])
def test_every_form_of_the_package_passes_the_check(implementation):
    def attention(*inputs):
        return ms_deform_attn(*inputs, implementation=implementation)

    result = checks.ms_deform_attn(attention)
    assert result.passed, result.message


ONLY_PARTLY_WRONG = {
    "the last query is skipped": lambda output: torch.cat([output[:, :-1], 0 * output[:, -1:]], dim=1),
    "queries in reverse": lambda output: output.flip(1),
    "images in reverse": lambda output: output.flip(0),
    "a little too large": lambda output: output * 1.001,
    "not a number": lambda output: output / 0,
    "an axis too many": lambda output: output[:, :, None],
}


@pytest.mark.parametrize("planted", list(ONLY_PARTLY_WRONG))
def test_an_answer_that_is_wrong_in_another_way_fails(planted):
    spoil = ONLY_PARTLY_WRONG[planted]
    assert not checks.ms_deform_attn(lambda *inputs: spoil(ms_deform_attn_by_loops(*inputs))).passed


def test_a_reading_that_forgets_one_neighbor_fails():
    def without_the_last(level_map, point):
        inner = level_map.clone()
        inner[-1, -1] = 0
        return bilinear_sample_by_loops(inner, point)

    assert not checks.bilinear_sample(without_the_last).passed


def test_an_error_in_the_answer_is_reported_in_one_line():
    result = checks.ms_deform_attn(lambda value, *rest: value[:, :, 99])
    assert "Your function raised IndexError" in result.message
    assert len(result.message.splitlines()) == 1


def test_memory_is_counted_at_the_worst_moment():
    numbers = torch.ones(1000, 1000)
    assert measure(lambda: (numbers * 2) + 1, repeats=1).peak_bytes == pytest.approx(8e6, rel=0.01)
    assert measure(lambda: (numbers * 2).sum(), repeats=1).peak_bytes == pytest.approx(4e6, rel=0.01)


def test_a_measurement_needs_at_least_one_call():
    with pytest.raises(ValueError, match="repeats must be at least 1, got 0"):
        measure(lambda: None, repeats=0)
