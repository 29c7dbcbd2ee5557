"""The bill of attention: every formula against what PyTorch counts, and against numbers by hand."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from detr_tutorial.complexity import (
    deformable_attention_cost,
    dense_attention_cost,
    feed_forward_cost,
    layer_costs,
    level_shapes,
)
from detr_tutorial.deformable_attention import MSDeformAttn
from detr_tutorial.detr import FeedForward

FEW = settings(deadline=None, derandomize=True, max_examples=20, database=None)
LEVELS = level_shapes(800, 1066)


def multiply_adds(function) -> int:
    with FlopCounterMode(display=False) as counter:
        function()
    return counter.get_total_flops() // 2


@FEW
@given(st.integers(1, 9), st.integers(1, 11), st.sampled_from([1, 2, 3]), st.integers(1, 4))
def test_dense_attention_is_what_pytorch_counts_and_holds(queries, keys, heads, channels_per_head):
    channels = heads * channels_per_head
    layer = nn.MultiheadAttention(channels, heads, batch_first=True)
    query, key = torch.randn(1, queries, channels), torch.randn(1, keys, channels)
    cost = dense_attention_cost(queries, keys, channels, heads)
    assert cost.multiply_adds == multiply_adds(lambda: layer(query, key, key))
    weights = layer(query, key, key, average_attn_weights=False)[1]
    assert cost.weights == weights.numel()
    assert cost.held_bytes == weights.numel() * 4
    assert cost.predictions == cost.locations == cost.samples == 0


@FEW
@given(st.integers(1, 9), st.integers(1, 3), st.integers(1, 4), st.sampled_from([1, 2, 3]))
def test_the_linear_layers_of_deformable_attention_are_what_pytorch_counts(queries, levels, points, heads):
    shapes = [(level + 2, 5 - level) for level in range(levels)]
    tokens = sum(height * width for height, width in shapes)
    layer = MSDeformAttn(d_model=5 * heads, num_levels=levels, num_heads=heads, num_points=points)
    query, value = torch.randn(1, queries, 5 * heads), torch.randn(1, tokens, 5 * heads)
    reference = torch.rand(1, queries, levels, 2)
    costs = {
        project: deformable_attention_cost(queries, tokens, 5 * heads, heads, levels, points, project)
        for project in ("tokens", "sums")
    }
    cost = costs["tokens"]
    counted = multiply_adds(lambda: layer(query, reference, value, shapes))
    # The layer takes the cheaper order; a weighted sum of raw tokens has its attention weights in the mix.
    first = tokens * 5 * heads <= queries * heads * (4 * levels * points + 5)
    chosen = costs["tokens" if first else "sums"]
    assert chosen.projections + chosen.predictions == counted
    _, record = layer(query, reference, value, shapes)
    assert cost.weights == record.weights.numel()
    assert cost.locations == record.locations.numel()


def test_reading_is_four_neighbors_and_one_weight_for_each_sample():
    queries, heads, depth, levels, points = 7, 3, 5, 2, 4
    four = torch.randn(queries, heads, levels * points, 4, depth)
    mix, weights = torch.rand(four.shape[:-1]), torch.rand(four.shape[:-2])

    def read():
        samples = torch.einsum("qmpf,qmpfd->qmpd", mix, four)
        return samples, torch.einsum("qmp,qmpd->qmd", weights, samples)

    cost = deformable_attention_cost(queries, 30, heads * depth, heads, levels, points)
    assert cost.reading == multiply_adds(read)
    assert cost.samples == read()[0].numel()
    assert cost.multiply_adds == cost.projections + cost.predictions + cost.reading
    assert cost.held_bytes == 4 * (cost.weights + cost.locations + cost.samples)


def test_projecting_sums_is_work_for_the_queries_and_reads_all_channels_in_every_head():
    tokens = deformable_attention_cost(300, 17821, 256, 8, 4, 4)
    sums = deformable_attention_cost(300, 17821, 256, 8, 4, 4, project="sums")
    assert tokens.projections == (300 + 17821) * 256**2
    assert sums.projections == 2 * 300 * 256**2
    assert sums.reading == 8 * tokens.reading
    assert sums.samples == 8 * tokens.samples
    assert sums.predictions == tokens.predictions
    assert sums.multiply_adds < 0.2 * tokens.multiply_adds


def test_the_feed_forward_network_is_what_pytorch_counts():
    network = FeedForward(d_model=6, ffn_dim=10, dropout=0.0)
    assert feed_forward_cost(7, 6, 10) == multiply_adds(lambda: network(torch.randn(1, 7, 6)))


def test_the_image_of_the_paper_has_these_levels_and_this_map():
    assert LEVELS == ((100, 134), (50, 67), (25, 34), (13, 17))
    assert sum(height * width for height, width in LEVELS) == 17821
    held = [layer_costs(LEVELS[i:j], "dense").encoder.held_bytes for i, j in ((2, 3), (1, 2), (0, 4))]
    assert [round(number / 2**20) for number in held[:2]] == [22, 342]
    assert round(held[2] / 2**30, 2) == 9.46


def test_the_samples_of_the_usual_sizes_take_this_much():
    for (height, width), megabytes in {
        (800, 1333): 347 * 2**20 / 1e6,
        (800, 1066): 278 * 2**20 / 1e6,
    }.items():
        samples = layer_costs(level_shapes(height, width), "deformable").encoder.samples
        assert abs(4 * samples / 1e6 / megabytes - 1) < 0.01


@FEW
@given(st.integers(1, 300), st.integers(1, 300), st.sampled_from([8, 16, 32, 64]))
def test_levels_cover_the_image_and_no_more(height, width, stride):
    ((rows, columns),) = level_shapes(height, width, (stride,))
    assert (rows - 1) * stride < height <= rows * stride
    assert (columns - 1) * stride < width <= columns * stride


def test_twice_the_side_is_sixteen_times_the_pairs_and_four_times_the_points():
    sizes = [level_shapes(side, side) for side in (1024, 2048)]
    dense = [layer_costs(shapes, "dense").encoder for shapes in sizes]
    deformable = [layer_costs(shapes, "deformable").encoder for shapes in sizes]
    for (small, large), exponent in ((dense, 4), (deformable, 2)):
        assert math.isclose(math.log2(large.reading / small.reading), exponent, abs_tol=1e-9)
        assert math.isclose(math.log2(large.held_bytes / small.held_bytes), exponent, abs_tol=1e-9)


def test_the_three_attentions_have_their_own_queries_and_keys():
    tokens = 4 * 6 + 2 * 3
    dense = layer_costs([(4, 6), (2, 3)], "dense", num_queries=7, d_model=15, num_heads=3)
    assert dense.encoder == dense_attention_cost(tokens, tokens, 15, 3)
    assert dense.decoder_self == dense_attention_cost(7, 7, 15, 3)
    assert dense.decoder_cross == dense_attention_cost(7, tokens, 15, 3)
    points = layer_costs([(4, 6), (2, 3)], "deformable", 7, d_model=15, num_heads=3, num_points=5)
    assert points.encoder == deformable_attention_cost(tokens, tokens, 15, 3, 2, 5)
    assert points.decoder_self == dense.decoder_self
    assert points.decoder_cross == deformable_attention_cost(7, tokens, 15, 3, 2, 5)


def test_the_published_defaults_are_the_defaults():
    assert layer_costs(LEVELS, "deformable").encoder.weights == 17821 * 8 * 4 * 4
    assert layer_costs(LEVELS, "dense").decoder_cross.weights == 300 * 17821 * 8
    assert [round(800 / height) for height, _ in level_shapes(800, 800)] == pytest.approx([8, 16, 32, 62])
