"""Chapter 19: its checks name every known mistake, and the code in the notebook is right by them."""

from typing import Any

import pytest
import torch

from detr_tutorial import checks
from detr_tutorial.checks.chapter_19 import answers_one_by_one, precision_by_steps
from detr_tutorial.detections import Detections
from detr_tutorial.inference import postprocess
from tests.checks.notebook import judged, mistakes_of, run_chapter, solutions

NOTEBOOK = "19_inference_and_evaluation"
CHECKS = (checks.postprocess, checks.average_precision)


@pytest.fixture(scope="module")
def chapter() -> dict[str, Any]:
    """The notebook's names after a run of all its cells but those that train; "results" by cell id."""
    return run_chapter(NOTEBOOK, skip="ch19-tune")


def package_answers(logits, boxes, size, top_k):
    found = postprocess(Detections(logits[None], boxes[None], []), [size], top_k)[0]
    return found["scores"], found["labels"], found["boxes"]


def test_every_solution_that_a_check_can_judge_passes_it(chapter):
    assert len(solutions(NOTEBOOK)) == 4
    checked = judged(NOTEBOOK, chapter)
    assert len(checked) == 2
    for result in checked:
        assert result.passed, result.message


def test_an_exercise_that_is_not_begun_says_so(chapter):
    for number in (2, 3):
        assert "not written yet" in chapter["results"][f"ch19-exercise-{number}"].message


def test_the_package_passes_the_check_of_answers():
    result = checks.postprocess(package_answers)
    assert result.passed, result.message


def test_the_curve_in_the_text_passes_the_check_of_average_precision(chapter):
    def from_the_text(scores, right, num_objects):
        recall, precision = chapter["curve"](scores.numpy(), right.numpy(), num_objects)
        return float(chapter["average_readings"](recall, precision))

    result = checks.average_precision(from_the_text)
    assert result.passed, result.message


@pytest.mark.parametrize(
    ("check", "sentence", "wrong_function"),
    mistakes_of(CHECKS),
)
def test_a_known_mistake_is_named_with_its_own_sentence(check, sentence, wrong_function):
    result = check(wrong_function)
    assert not result.passed
    assert f"It looks as if {sentence}." in result.message


@pytest.mark.parametrize("part", [0, 1, 2])
def test_answers_that_are_off_in_one_part_fail(part):
    def off(*inputs):
        answer = list(answers_one_by_one(*inputs))
        answer[part] = answer[part] + 1
        return tuple(answer)

    assert not checks.postprocess(off).passed


def test_an_average_that_is_off_fails():
    assert not checks.average_precision(lambda *inputs: precision_by_steps(*inputs) + 0.001).passed
    assert not checks.average_precision(
        lambda *inputs: torch.tensor([precision_by_steps(*inputs)] * 2)
    ).passed
