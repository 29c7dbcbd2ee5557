"""Chapter 19: its checks find what is wrong, and the code in the notebook is right by them."""

import pytest
import torch

from detr_tutorial import checks
from detr_tutorial.checks.chapter_19 import answers_one_by_one, precision_by_steps
from detr_tutorial.detections import Detections
from detr_tutorial.inference import postprocess
from tests.checks.notebook import Exercises

NOTEBOOK = "19_inference_and_evaluation"
SKIP = "ch19-tune"  # the cells that train


class TestExercises(Exercises):
    solutions = 4
    judged = (2, 3)


def package_answers(logits, boxes, size, top_k):
    found = postprocess(Detections(logits[None], boxes[None], []), [size], top_k)[0]
    return found["scores"], found["labels"], found["boxes"]


def test_the_package_passes_the_check_of_answers():
    result = checks.postprocess(package_answers)
    assert result.passed, result.message


def test_the_curve_in_the_text_passes_the_check_of_average_precision(chapter):
    def from_the_text(scores, right, num_objects):
        recall, precision = chapter["curve"](scores.numpy(), right.numpy(), num_objects)
        return float(chapter["average_readings"](recall, precision))

    result = checks.average_precision(from_the_text)
    assert result.passed, result.message


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
