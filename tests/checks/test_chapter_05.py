"""Chapter 5: its checks find what is wrong, and the code in the notebook is right by them."""

import pytest
import torch
from einops import rearrange
from torch import nn
from torch.testing import assert_close

from detr_tutorial import checks
from detr_tutorial.checks.chapter_05 import attention_by_loops, cross_attention_inputs_by_loops
from tests.checks.notebook import Exercises

NOTEBOOK = "05_detr"


class TestExercises(Exercises):
    solutions = 4
    judged = (2, 3)


def by_torch(query, key, value, num_heads, mask):
    q, k, v = (rearrange(x, "B N (M D) -> B M N D", M=num_heads) for x in (query, key, value))
    seen = rearrange(~mask, "B S -> B 1 1 S")
    attended = nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=seen)
    return rearrange(attended, "B M N D -> B N (M D)")


def test_the_attention_of_the_chapter_passes_its_own_check(chapter):
    def by_chapter(query, key, value, num_heads, mask):
        parts = (rearrange(x, "B N (M D) -> B M N D", M=num_heads) for x in (query, key, value))
        heads, _ = chapter["attend"](*parts, mask)
        return rearrange(heads, "B M N D -> B N (M D)")

    result = checks.multi_head_attention(by_chapter)
    assert result.passed, result.message


def test_the_attention_of_torch_passes_the_check():
    result = checks.multi_head_attention(by_torch)
    assert result.passed, result.message


def test_a_wrong_answer_of_the_right_shape_is_drawn():
    result = checks.multi_head_attention(lambda *inputs: attention_by_loops(*inputs) + 1)
    assert result.figure is not None


PLANTED = {
    "a little too large": lambda answer: answer * 1.01,
    "queries in reverse": lambda answer: answer.flip(1),
    "channels in reverse": lambda answer: answer.flip(2),
    "images in reverse": lambda answer: answer.flip(0),
    "not a number": lambda answer: answer / 0,
    "an axis too many": lambda answer: answer[..., None],
    "detached into a string": str,
}


@pytest.mark.parametrize("planted", PLANTED)
def test_an_attention_that_is_wrong_in_another_way_fails(planted):
    wrong = PLANTED[planted]
    assert not checks.multi_head_attention(lambda *inputs: wrong(attention_by_loops(*inputs))).passed


@pytest.mark.parametrize("planted", PLANTED)
@pytest.mark.parametrize("which", [0, 1, 2])
def test_inputs_that_are_wrong_in_another_way_fail(planted, which):
    def wrong(*inputs):
        answer = list(cross_attention_inputs_by_loops(*inputs))
        answer[which] = PLANTED[planted](answer[which])
        return tuple(answer)

    assert not checks.cross_attention_inputs(wrong).passed


def test_two_of_three_inputs_are_not_enough():
    assert not checks.cross_attention_inputs(
        lambda *inputs: cross_attention_inputs_by_loops(*inputs)[:2]
    ).passed


def test_the_layers_of_the_chapter_are_those_of_torch_with_all_weights_drawn(chapter):
    # The chapter compares the encoder with torch's; here the decoder is compared as well.
    torch.manual_seed(0)
    theirs = nn.TransformerDecoderLayer(24, 3, 40, dropout=0.0, batch_first=True)
    ours = chapter["MyDecoderLayer"](24, 3, 40)
    names = {
        "self_attn": "self_attention",
        "multihead_attn": "cross_attention",
        "linear1": "ffn.expand",
        "linear2": "ffn.contract",
        "norm1": "self_attention_norm",
        "norm2": "cross_attention_norm",
        "norm3": "ffn_norm",
    }
    state = {}
    for name, value in theirs.state_dict(keep_vars=True).items():
        with torch.no_grad():
            value.add_(0.2 * torch.randn_like(value))
        part, _, rest = name.partition(".")
        state[f"{names[part]}.{rest}"] = value
    ours.load_state_dict(state)
    queries, tokens = torch.randn(2, 5, 24), torch.randn(2, 11, 24)
    mask = torch.zeros(2, 11, dtype=torch.bool)
    mask[1, 7:] = True
    nothing = torch.zeros(1)
    expected = theirs(queries, tokens, memory_key_padding_mask=mask)
    assert_close(ours(queries, nothing, tokens, nothing, mask), expected, atol=1e-5, rtol=1e-4)
