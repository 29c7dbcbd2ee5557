"""Chapter 18: its checks find what is wrong, and the code in the notebook is right by them."""

import itertools
import math
from typing import Any

import pytest
import torch
from torch.testing import assert_close

from detr_tutorial import checks
from detr_tutorial.checks.chapter_18 import NAMES, learning_factor_by_steps, part_factors_by_loops
from detr_tutorial.deformable_detr import DeformableDETR
from detr_tutorial.plots import chapter_18 as plots
from detr_tutorial.training import (
    TrainingConfig,
    learning_rate_factor,
    make_optimizer,
    parameter_groups,
    set_learning_rate,
    train_step,
)
from tests.checks.notebook import Exercises

NOTEBOOK = "18_training"
SKIP = "ch18-run-"  # cells that train for long


class TestExercises(Exercises):
    solutions = 4
    judged = (2, 3)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("pretrained", [False, True])
def test_the_reference_of_the_rates_is_what_the_package_does(name, pretrained):
    parameter = torch.nn.Parameter(torch.zeros(2))

    class OneParameter(torch.nn.Module):
        def named_parameters(self, *args: Any, **kwargs: Any) -> Any:
            yield name, parameter

    (group,) = parameter_groups(OneParameter(), 1.0, 0.1 if pretrained else 1.0)
    for step, steps, warmup in itertools.product((0, 1, 7, 8, 9), (10,), (0, 3)):
        config = TrainingConfig(steps=steps, warmup_steps=warmup)
        factor = group["full_rate"] * learning_rate_factor(config, step, step / steps)
        assert learning_factor_by_steps(name, pretrained, step, steps, warmup).item() == pytest.approx(factor)


@pytest.mark.parametrize("objects", [[3, 5], [0, 4, 1], [0, 0], [2]])
def test_the_reference_of_the_parts_gives_the_loss_of_the_whole_batch(objects):
    sums = torch.arange(1.0, len(objects) + 1)  # what each part adds up to, before it is divided
    losses = torch.tensor([value / max(1, count) for value, count in zip(sums, objects, strict=True)])
    whole = sums.sum() / max(1, sum(objects))
    assert_close((part_factors_by_loops(objects) * losses).sum(), whole)


PLANTED = {
    "a little too large": lambda answer: answer * 1.01,
    "in reverse": lambda answer: answer.flip(0) + 1,
    "not a number": lambda answer: answer / 0,
    "an axis too many": lambda answer: answer[..., None],
    "detached into a string": str,
}


@pytest.mark.parametrize("planted", PLANTED)
def test_factors_that_are_wrong_in_another_way_fail(planted):
    wrong = PLANTED[planted]
    assert not checks.part_factors(lambda objects: wrong(part_factors_by_loops(objects))).passed


def test_a_wrong_answer_of_the_right_shape_is_drawn():
    assert checks.part_factors(lambda objects: part_factors_by_loops(objects) + 1).figure is not None


def test_the_loop_of_the_chapter_steps_as_the_package_does_with_both_schedules(chapter):
    for schedule in ("step", "cosine"):
        config = TrainingConfig(
            model=chapter["TINY"], steps=5, batch_size=2, seed=3, schedule=schedule, warmup_steps=2
        )
        torch.manual_seed(1)
        ours = DeformableDETR(chapter["TINY"])
        list(chapter["my_training"](ours, config))
        torch.manual_seed(1)
        theirs = DeformableDETR(chapter["TINY"])
        optimizer = make_optimizer(theirs, config)
        criterion = chapter["SetCriterion"](6)
        for step, (batch, targets) in enumerate(chapter["my_batches"](config)):
            set_learning_rate(optimizer, learning_rate_factor(config, step, step / 5))
            train_step(theirs, criterion, optimizer, batch, targets, config)
        chapter["assert_equal_weights"](ours, theirs)


def test_the_mean_of_a_run_in_progress_is_over_the_last_steps():
    values = [4.0, 2.0, 6.0, 8.0]
    assert plots._smooth(values, 2).tolist() == [4.0, 3.0, 4.0, 7.0]
    assert math.isclose(plots._smooth(values, 100)[-1], 5.0)
