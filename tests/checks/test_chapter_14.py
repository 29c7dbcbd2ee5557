"""Chapter 14: its checks find what is wrong, and the code in the notebook is right by them."""

import pytest
import torch
from torch.testing import assert_close
from torchvision.ops import nms

from detr_tutorial import checks
from detr_tutorial.checks.chapter_14 import count_duplicates_by_loops, object_queries_by_loops
from detr_tutorial.decoder import DeformableDecoderLayer, to_padded_levels
from tests.checks.notebook import Exercises

NOTEBOOK = "14_decoder"


class TestExercises(Exercises):
    solutions = 4
    judged = (2, 3)


def test_the_function_of_the_package_passes_the_check():
    def by_package(embedding, weight, bias, valid_ratios):
        positions, contents = embedding.chunk(2, dim=-1)
        points = torch.nn.functional.linear(positions, weight, bias).sigmoid()
        return positions, contents, to_padded_levels(points.expand(len(valid_ratios), -1, -1), valid_ratios)

    result = checks.object_queries(by_package)
    assert result.passed, result.message


def test_suppression_of_torchvision_counts_the_same_duplicates():
    result = checks.count_duplicates(
        lambda boxes, scores, threshold: len(boxes) - len(nms(boxes, scores, threshold))
    )
    assert result.passed, result.message


PLANTED = {
    "a little too large": lambda answer: answer * 1.01,
    "queries in reverse": lambda answer: answer.flip(-3 if answer.ndim == 4 else 0),
    "not a number": lambda answer: answer / 0,
    "an axis too many": lambda answer: answer[..., None],
    "text": str,
}


@pytest.mark.parametrize("planted", PLANTED)
@pytest.mark.parametrize("which", [0, 1, 2])
def test_a_beginning_that_is_wrong_in_another_way_fails(planted, which):
    def wrong(*inputs):
        answer = list(object_queries_by_loops(*inputs))
        answer[which] = PLANTED[planted](answer[which])
        return tuple(answer)

    assert not checks.object_queries(wrong).passed


def test_wrong_references_are_drawn():
    def wrong(*inputs):
        positions, contents, references = object_queries_by_loops(*inputs)
        return positions, contents, references * 0.9

    assert checks.object_queries(wrong).figure is not None


def test_a_count_that_is_wrong_in_another_way_fails():
    assert not checks.count_duplicates(lambda *inputs: count_duplicates_by_loops(*inputs) + 1).passed
    assert not checks.count_duplicates(lambda *inputs: 0).passed
    assert not checks.count_duplicates(
        lambda boxes, scores, threshold: count_duplicates_by_loops(boxes, scores, 0.5)
    ).passed


@pytest.mark.parametrize("coordinates", [2, 4])
def test_the_layer_of_the_chapter_is_that_of_the_package_with_its_gradients(chapter, coordinates):
    torch.manual_seed(0)
    shapes = ((4, 6), (2, 3))
    theirs = DeformableDecoderLayer(24, 2, 3, 4, 40, dropout=0.0)
    ours = chapter["MyDecoderLayer"](24, 2, 3, 4, 40)
    for parameter in theirs.parameters():
        parameter.data.add_(0.2 * torch.randn_like(parameter))
    ours.load_state_dict(theirs.state_dict())
    position, memory, mask = torch.randn(2, 7, 24), torch.randn(2, 30, 24), torch.rand(2, 30) < 0.2
    references = torch.rand(2, 7, 2, coordinates)
    contents = [torch.randn(2, 7, 24)]
    contents.append(contents[0].clone())
    outputs = []
    for layer, content in zip((ours, theirs), contents, strict=True):
        answer, _ = layer(content.requires_grad_(), position, references, memory, shapes, mask)
        answer.sin().sum().backward()
        outputs.append(answer)
    assert_close(outputs[0], outputs[1])
    assert_close(contents[0].grad, contents[1].grad)


def test_alone_a_query_does_not_depend_on_the_others(chapter):
    torch.manual_seed(0)
    layer = chapter["MyDecoderLayer"](24, 2, 3, 4, 40).eval()
    content, position, memory = torch.randn(1, 7, 24), torch.randn(1, 7, 24), torch.randn(1, 30, 24)
    where = (torch.rand(1, 7, 2, 2), memory, ((4, 6), (2, 3)), torch.zeros(1, 30, dtype=torch.bool))
    changed = content.clone()
    changed[:, 1:] += 1
    for alone in (True, False):
        before, _ = layer(content, position, *where, alone)
        after, _ = layer(changed, position, *where, alone)
        assert torch.allclose(before[:, 0], after[:, 0], atol=1e-5) == alone
