"""The exercises of notebooks/05_detr.ipynb: multi-head attention, and where positions enter."""

import math
from collections.abc import Callable

import torch
from einops import rearrange
from hypothesis import strategies as st
from matplotlib.figure import Figure
from torch import Tensor

from detr_tutorial.checks._check import Check, Inputs, tensors
from detr_tutorial.plots.chapter_05 import answer_against_target

# ---------------------------------------------------------------- multi-head attention


def attention_by_loops(query: Tensor, key: Tensor, value: Tensor, num_heads: int, mask: Tensor) -> Tensor:
    """The definition, one query and one head at a time: (B, Q, C)."""
    batch, queries, channels = query.shape
    width = channels // num_heads
    output = [[[0.0] * channels for _ in range(queries)] for _ in range(batch)]
    q, k, v = query.tolist(), key.tolist(), value.tolist()  # numbers of Python are faster one at a time
    for b in range(batch):
        seen = [s for s, hidden in enumerate(mask[b].tolist()) if not hidden]
        for m in range(num_heads):
            part = range(m * width, (m + 1) * width)
            for i in range(queries):
                powers = {}
                for s in seen:
                    score = sum(q[b][i][c] * k[b][s][c] for c in part) / math.sqrt(width)
                    powers[s] = math.exp(score)
                for c in part:
                    total = sum(power * v[b][s][c] for s, power in powers.items())
                    output[b][i][c] = total / sum(powers.values())
    return query.new_tensor(output)


Attend = Callable[[Tensor, Tensor, Tensor, int, Tensor], Tensor]


def _variant(
    *,
    scale: Callable[[int, int], float] = lambda width, channels: width**0.5,
    softmax_over: int = -1,
    layout: str = "(M D)",
    together: str | None = None,
    hide: Callable[[Tensor, Tensor], Tensor] = lambda scores, mask: scores.masked_fill(mask, -math.inf),
    after: Callable[[Tensor, Tensor], Tensor] = lambda weights, mask: weights,
) -> Attend:
    """Attention with one step done otherwise; scores and weights are (B, M, Q, S)."""

    def attend(query: Tensor, key: Tensor, value: Tensor, num_heads: int, mask: Tensor) -> Tensor:
        channels = query.shape[-1]
        q, k, v = (rearrange(x, f"B N {layout} -> B M N D", M=num_heads) for x in (query, key, value))
        scores = q @ k.transpose(-1, -2) / scale(channels // num_heads, channels)
        hidden = rearrange(mask, "B S -> B 1 1 S")
        weights = after(hide(scores, hidden).softmax(softmax_over), hidden)
        return rearrange(weights @ v, f"B M N D -> B N {together or layout}")

    return attend


def _one_head(query: Tensor, key: Tensor, value: Tensor, num_heads: int, mask: Tensor) -> Tensor:
    return _variant()(query, key, value, 1, mask)


def _hard(scores: Tensor, mask: Tensor) -> Tensor:
    best = scores.masked_fill(mask, -math.inf).argmax(-1, keepdim=True)
    return torch.full_like(scores, -math.inf).scatter(-1, best, 0.0)


def _same_weights(query: Tensor, key: Tensor, value: Tensor, num_heads: int, mask: Tensor) -> Tensor:
    """All heads use the mean of their weights."""
    q, k, v = (rearrange(x, "B N (M D) -> B M N D", M=num_heads) for x in (query, key, value))
    scores = (q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5).masked_fill(mask[:, None, None], -math.inf)
    weights = scores.softmax(-1).mean(1, keepdim=True)
    return rearrange(weights @ v, "B M N D -> B N (M D)")


ATTENTION_MISTAKES = (
    ("you left out the division by the square root of D", _variant(scale=lambda width, channels: 1.0)),
    (
        "you divided by the square root of C: a head compares D = C / M channels",
        _variant(scale=lambda width, channels: channels**0.5),
    ),
    ("you divided by D: divide by its square root", _variant(scale=lambda width, channels: float(width))),
    (
        "you took the softmax over the queries: for each query, the weights of the keys sum to 1",
        _variant(
            softmax_over=-2,
            hide=lambda scores, mask: scores,
            after=lambda weights, mask: weights.masked_fill(mask, 0),
        ),
    ),
    (
        "you took the softmax over the heads: it runs over the keys, in each head alone",
        _variant(
            softmax_over=1,
            hide=lambda scores, mask: scores,
            after=lambda weights, mask: weights.masked_fill(mask, 0),
        ),
    ),
    (
        "you cut the channels as (D M): head m owns the D channels that begin at m D",
        _variant(layout="(D M)"),
    ),
    (
        "you put the heads together as (D M): they were cut as (M D)",
        _variant(together="(D M)"),
    ),
    ("you used one head", _one_head),
    ("you took the mean of the weights over the heads: each head has its own", _same_weights),
    (
        "your mask is the other way round: True is hidden",
        _variant(hide=lambda scores, mask: scores.masked_fill(~mask, -math.inf)),
    ),
    ("you left out the mask", _variant(hide=lambda scores, mask: scores)),
    (
        "you gave masked keys a score of 0, which still has a weight: give them minus infinity",
        _variant(hide=lambda scores, mask: scores.masked_fill(mask, 0)),
    ),
    (
        "you set masked weights to 0 after the softmax: the weights that are left do not sum to 1",
        _variant(
            hide=lambda scores, mask: scores,
            after=lambda weights, mask: weights.masked_fill(mask, 0),
        ),
    ),
    (
        "you took only the best key of each query: the others count as well, by softmax",
        _variant(hide=_hard),
    ),
)


@st.composite
def _attention_inputs(draw: Callable) -> dict:
    batch, queries, keys = draw(st.integers(1, 2)), draw(st.integers(1, 2)), draw(st.integers(2, 3))
    heads, width = draw(st.integers(1, 2)), draw(st.integers(1, 3))
    mask = torch.zeros(batch, keys, dtype=torch.bool)
    for b in range(batch):  # at least one key is seen
        mask[b, draw(st.integers(1, keys)) :] = True
    return {
        "query": draw(tensors(batch, queries, heads * width, simplest=1.0)),
        "key": draw(tensors(batch, keys, heads * width, simplest=1.0)),
        "value": draw(tensors(batch, keys, heads * width, simplest=1.0)),
        "num_heads": heads,
        "mask": mask,
    }


def _draw_first(inputs: Inputs, yours: Tensor, target: Tensor) -> Figure:
    return answer_against_target(torch.as_tensor(yours)[0].float(), target[0])


# ---------------------------------------------------------------- where positions enter


def cross_attention_inputs_by_loops(
    queries: Tensor, query_embedding: Tensor, tokens: Tensor, positions: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """What the cross-attention of the decoder gets as query, key and value, one vector at a time."""
    batch = range(queries.shape[0])
    query = [
        torch.stack(
            [content + embedding for content, embedding in zip(queries[b], query_embedding, strict=True)]
        )
        for b in batch
    ]
    key = [
        torch.stack([token + place for token, place in zip(tokens[b], positions[b], strict=True)])
        for b in batch
    ]
    return torch.stack(query), torch.stack(key), tokens


INPUT_MISTAKES = (
    (
        "you added positions to the values: they say what a cell holds, not where it is",
        lambda queries, embedding, tokens, positions: (
            queries + embedding,
            tokens + positions,
            tokens + positions,
        ),
    ),
    (
        "you forgot the positions of the keys: a query could not look for a place",
        lambda queries, embedding, tokens, positions: (queries + embedding, tokens, tokens),
    ),
    (
        "you forgot the query embedding: in the first layer all queries would be the same",
        lambda queries, embedding, tokens, positions: (queries, tokens + positions, tokens),
    ),
    (
        "you added neither positions nor the query embedding",
        lambda queries, embedding, tokens, positions: (queries, tokens, tokens),
    ),
    (
        "your query is the query embedding alone: add it to the content",
        lambda queries, embedding, tokens, positions: (
            embedding.expand_as(queries),
            tokens + positions,
            tokens,
        ),
    ),
    (
        "you took the positions alone as keys: add them to the tokens",
        lambda queries, embedding, tokens, positions: (queries + embedding, positions, tokens),
    ),
    (
        "you took the positions as values",
        lambda queries, embedding, tokens, positions: (queries + embedding, tokens + positions, positions),
    ),
    (
        "key and value are swapped",
        lambda queries, embedding, tokens, positions: (queries + embedding, tokens, tokens + positions),
    ),
    (
        "these are the inputs of the self-attention: in cross-attention, keys and values are tokens",
        lambda queries, embedding, tokens, positions: (queries + embedding, queries + embedding, queries),
    ),
)


@st.composite
def _layer_inputs(draw: Callable) -> dict:
    batch, num_queries, keys, channels = (draw(st.integers(1, most)) for most in (2, 2, 3, 3))
    return {
        "queries": draw(tensors(batch, num_queries, channels)),
        "query_embedding": draw(tensors(num_queries, channels, simplest=1.0)),
        "tokens": draw(tensors(batch, keys, channels)),
        "positions": draw(tensors(batch, keys, channels, simplest=1.0)),
    }


# ---------------------------------------------------------------- the checks


def _wave(*shape: int, step: float) -> Tensor:
    return (torch.arange(math.prod(shape)) * step).sin().reshape(shape) * 2


multi_head_attention = Check(
    name="multi_head_attention",
    reference=attention_by_loops,
    inputs=_attention_inputs(),
    mistakes=ATTENTION_MISTAKES,
    example={
        "query": _wave(2, 3, 6, step=0.7),
        "key": _wave(2, 5, 6, step=1.3),
        "value": _wave(2, 5, 6, step=2.1),
        "num_heads": 2,
        "mask": torch.tensor([[False] * 4 + [True], [False] * 3 + [True] * 2]),
    },
    letters="(B, Q, C)",
    draw=_draw_first,
)

cross_attention_inputs = Check(
    name="cross_attention_inputs",
    reference=cross_attention_inputs_by_loops,
    inputs=_layer_inputs(),
    mistakes=INPUT_MISTAKES,
    example={
        "queries": _wave(2, 3, 4, step=0.7),
        "query_embedding": _wave(3, 4, step=1.3),
        "tokens": _wave(2, 5, 4, step=2.1),
        "positions": _wave(2, 5, 4, step=0.4),
    },
)
