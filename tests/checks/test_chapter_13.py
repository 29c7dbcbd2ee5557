"""Chapter 13: its checks find what is wrong, and the code in the notebook is right by them."""

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from detr_tutorial import checks
from detr_tutorial.checks.chapter_13 import cells_heard_by_loops, rest_of_layer_by_loops
from detr_tutorial.encoder import DeformableEncoderLayer
from detr_tutorial.reference_points import encoder_reference_points
from tests.checks.notebook import Exercises

NOTEBOOK = "13_encoder"


class TestExercises(Exercises):
    solutions = 4
    judged = (2, 3)


def test_the_layer_norm_and_the_linear_layers_of_torch_pass_the_check():
    def by_torch(tokens, attended, expand, contract):
        sizes = tokens.shape[-1:]
        normed = nn.functional.layer_norm(tokens + attended, sizes)
        answer = nn.functional.linear(nn.functional.linear(normed, expand.T).relu(), contract.T)
        return nn.functional.layer_norm(normed + answer, sizes)

    result = checks.rest_of_layer(by_torch)
    assert result.passed, result.message


PLANTED = {
    "a little too large": lambda answer: answer * 1.01,
    "tokens in reverse": lambda answer: answer.flip(1),
    "channels in reverse": lambda answer: answer.flip(2),
    "images in reverse": lambda answer: answer.flip(0),
    "not a number": lambda answer: answer / 0,
    "an axis too many": lambda answer: answer[..., None],
    "text": str,
}


@pytest.mark.parametrize("planted", PLANTED)
def test_a_layer_that_is_wrong_in_another_way_fails(planted):
    assert not checks.rest_of_layer(lambda *inputs: PLANTED[planted](rest_of_layer_by_loops(*inputs))).passed


def test_a_count_that_is_wrong_in_another_way_fails():
    assert not checks.cells_heard(lambda *inputs: cells_heard_by_loops(*inputs) + 1).passed
    assert not checks.cells_heard(
        lambda height, width, row, column, layers, points: cells_heard_by_loops(
            width, height, row, column, layers, points
        )
    ).passed
    one_layer_less = checks.cells_heard(
        lambda height, width, row, column, layers, points: cells_heard_by_loops(
            height, width, row, column, max(layers - 1, 0), points
        )
    )
    assert not one_layer_less.passed


def test_the_layer_of_the_chapter_is_that_of_the_package_with_its_gradients(chapter):
    torch.manual_seed(0)
    shapes = ((4, 6), (2, 3))
    theirs = DeformableEncoderLayer(24, 2, 3, 4, 40, dropout=0.0)
    ours = chapter["MyEncoderLayer"](24, 2, 3, 4, 40)
    for parameter in theirs.parameters():
        parameter.data.add_(0.2 * torch.randn_like(parameter))
    ours.load_state_dict(theirs.state_dict())
    positions, mask = torch.randn(2, 30, 24), torch.rand(2, 30) < 0.2
    references = encoder_reference_points(shapes, torch.tensor([[[1.0, 0.5]] * 2, [[0.75, 1.0]] * 2]))
    leaves = [torch.randn(2, 30, 24)]
    leaves.append(leaves[0].clone())
    outputs = []
    for layer, leaf in zip((ours, theirs), leaves, strict=True):
        answer = layer(leaf.requires_grad_(), positions, references, shapes, mask)
        outputs.append(answer if layer is ours else answer[0])
        outputs[-1].sin().sum().backward()
    assert_close(outputs[0], outputs[1])
    assert_close(leaves[0].grad, leaves[1].grad)
