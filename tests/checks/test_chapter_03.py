"""Chapter 3: its checks find what is wrong, and the code in the notebook is right by them."""

import pytest
import torch
import torchvision
from torch.testing import assert_close

from detr_tutorial import checks
from detr_tutorial.checks.chapter_03 import mask_by_loops, norm_by_loops
from detr_tutorial.padding import resize_mask
from tests.checks.notebook import Exercises

NOTEBOOK = "03_backbone"


class TestExercises(Exercises):
    solutions = 4
    judged = (2,)


def by_torchvision(features, weight, bias, mean, variance, eps):
    norm = torchvision.ops.FrozenBatchNorm2d(features.shape[1], eps=eps)
    values = {"weight": weight, "bias": bias, "running_mean": mean, "running_var": variance}
    norm.load_state_dict(values)
    return norm(features)


def test_the_code_of_the_chapter_passes_its_own_checks(chapter):
    assert checks.resize_mask(chapter["my_mask"]).passed

    def by_module(features, weight, bias, mean, variance, eps):
        norm = chapter["FrozenNorm"](features.shape[1], eps)
        values = {"weight": weight, "bias": bias, "running_mean": mean, "running_var": variance}
        norm.load_state_dict(values)
        return norm(features)

    assert checks.frozen_batch_norm(by_module).passed


@pytest.mark.parametrize(
    ("check", "right"),
    [
        (checks.resize_mask, lambda mask, height, width: resize_mask(mask, (height, width))),
        (checks.frozen_batch_norm, by_torchvision),
    ],
    ids=lambda value: getattr(value, "name", None),
)
def test_the_package_and_torchvision_pass_the_checks(check, right):
    result = check(right)
    assert result.passed, result.message


PLANTED = {
    "everything is valid": lambda answer: answer * 0,
    "an axis too many": lambda answer: answer[..., None],
    "rows in reverse": lambda answer: answer.flip(-2),
    "columns in reverse": lambda answer: answer.flip(-1),
    "images in reverse": lambda answer: answer.flip(0),
    "detached into a string": str,
}
JUDGED = ((checks.resize_mask, mask_by_loops), (checks.frozen_batch_norm, norm_by_loops))


@pytest.mark.parametrize(
    ("check", "right", "planted"),
    [
        pytest.param(check, right, planted, id=f"{check.name}: {planted}")
        for check, right in JUDGED
        for planted in PLANTED
    ],
)
def test_an_answer_that_is_wrong_in_another_way_fails(check, right, planted):
    assert not check(lambda *inputs: PLANTED[planted](right(*inputs))).passed


@pytest.mark.parametrize("spoil", [lambda x: x * 1.01, lambda x: x + 0.01, lambda x: x.flip(1)])
def test_a_norm_that_is_off_by_a_little_fails(spoil):
    assert not checks.frozen_batch_norm(lambda *inputs: spoil(norm_by_loops(*inputs))).passed


def test_a_mask_that_is_right_on_square_images_only_is_not_accepted():
    def square_only(mask, height, width):
        right = mask_by_loops(mask, height, width)
        return right if mask.shape[1] == mask.shape[2] else ~right

    assert not checks.resize_mask(square_only).passed


def test_the_loops_agree_with_torch_on_a_large_mask():
    mask = torch.zeros(2, 97, 61, dtype=torch.bool)
    mask[0, 40:] = True
    mask[1, :, 23:] = True
    by_torch = torch.nn.functional.interpolate(mask[:, None].float(), (13, 8), mode="nearest")[:, 0].bool()
    assert torch.equal(mask_by_loops(mask, 13, 8), by_torch)


def test_the_loops_agree_with_batch_norm_in_evaluation():
    features = torch.randn(2, 3, 4, 5)
    norm = torch.nn.BatchNorm2d(3, eps=0.1).eval()
    vectors = torch.rand(4, 3) + 0.5
    with torch.no_grad():
        for mine, vector in zip(
            (norm.weight, norm.bias, norm.running_mean, norm.running_var), vectors, strict=True
        ):
            assert mine is not None
            mine.copy_(vector)
        weight, bias, mean, variance = vectors
        assert_close(norm_by_loops(features, weight, bias, mean, variance, 0.1), norm(features))
