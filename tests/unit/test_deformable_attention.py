"""The three forms of the attention against each other and against brute force; the layer and its start."""

from collections.abc import Sequence

import hypothesis.strategies as st
import pytest
import torch
import torch.nn.functional as F
from einops import rearrange
from hypothesis import given, settings
from torch import Tensor
from torch.testing import assert_close

from detr_tutorial.deformable_attention import Implementation, MSDeformAttn, ms_deform_attn, star_offsets
from detr_tutorial.measure import measure
from detr_tutorial.reference_points import encoder_reference_points, to_normalized

FORMS: list[Implementation] = ["grid_sample", "embedding_bag", "auto"]
SHAPES = ((6, 4), (3, 2))


def random_inputs(
    shapes=SHAPES, batch=2, queries=7, heads=3, head_dim=5, points=4, spread=0.4, dtype=torch.float64, seed=0
) -> tuple[Tensor, Tensor, Tensor]:
    """Value, locations (some outside the maps) and softmax weights."""
    generator = torch.Generator().manual_seed(seed)
    tokens, levels = sum(h * w for h, w in shapes), len(shapes)
    value = torch.randn(batch, tokens, heads, head_dim, generator=generator, dtype=dtype)
    locations = torch.randn(batch, queries, heads, levels, points, 2, generator=generator, dtype=dtype)
    logits = torch.randn(batch, queries, heads, levels * points, generator=generator, dtype=dtype)
    return value, 0.5 + spread * locations, logits.softmax(-1).unflatten(-1, (levels, points))


def run(form: Implementation, shapes, inputs: Sequence[Tensor]) -> list[Tensor]:
    """Output and the three gradients."""
    leaves = [tensor.clone().requires_grad_() for tensor in inputs]
    output = ms_deform_attn(leaves[0], shapes, leaves[1], leaves[2], implementation=form)
    direction = torch.linspace(-1, 2, output.numel(), dtype=output.dtype).view_as(output)
    return [output.detach(), *torch.autograd.grad(output, leaves, direction, materialize_grads=True)]


@pytest.mark.parametrize("form", FORMS)
@given(
    shapes=st.lists(st.tuples(st.integers(1, 5), st.integers(1, 5)), min_size=1, max_size=3),
    seed=st.integers(0, 1000),
    points=st.integers(1, 3),
    spread=st.sampled_from([0.2, 1.0, 100.0]),
)
@settings(max_examples=20, deadline=None)
def test_all_forms_and_their_gradients_equal_the_loops(form, shapes, seed, points, spread):
    inputs = random_inputs(shapes, queries=3, heads=2, points=points, spread=spread, seed=seed)
    for found, expected in zip(run(form, shapes, inputs), run("loops", shapes, inputs), strict=True):
        assert_close(found, expected)


@pytest.mark.parametrize("form", FORMS)
def test_gradcheck_in_float64(form: Implementation):
    inputs = [tensor.requires_grad_() for tensor in random_inputs(queries=3, heads=2, head_dim=3, points=2)]
    assert torch.autograd.gradcheck(
        lambda value, locations, weights: ms_deform_attn(
            value, SHAPES, locations, weights, implementation=form
        ),
        inputs,
    )


@pytest.mark.parametrize("form", ["loops", "embedding_bag"])
def test_at_pixel_centers_gradients_take_the_same_side_as_grid_sample(form: Implementation):
    shapes = ((4, 8), (2, 4))  # powers of two: no rounding moves a point off its center
    value, locations, weights = random_inputs(shapes, dtype=torch.float32)
    pixels = torch.randint(-1, 4, locations.shape, generator=torch.Generator().manual_seed(1))
    for level, size in enumerate(shapes):
        locations[:, :, :, level] = to_normalized(pixels[:, :, :, level].float(), size)
    inputs = (value, locations, weights)
    for found, expected in zip(run(form, shapes, inputs), run("grid_sample", shapes, inputs), strict=True):
        assert_close(found, expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("queries", [511, 512, 513, 1100])
def test_chunks_of_queries_join_without_a_seam(queries: int):
    inputs = random_inputs(queries=queries, heads=1, head_dim=2, points=1)
    for found, expected in zip(
        run("embedding_bag", SHAPES, inputs), run("grid_sample", SHAPES, inputs), strict=True
    ):
        assert_close(found, expected)


@pytest.mark.parametrize("form", ["loops", *FORMS])
def test_points_at_pixel_centers_return_the_map_itself(form: Implementation):
    value = torch.randn(2, 24, 3, 5)
    centers = encoder_reference_points([(6, 4)], torch.ones(2, 1, 2))
    locations = centers[:, :, None, :, None].expand(-1, -1, 3, -1, 1, -1)
    output = ms_deform_attn(value, [(6, 4)], locations, torch.ones(2, 24, 3, 1, 1), implementation=form)
    assert_close(output, rearrange(value, "B S M D -> B S (M D)"))


@pytest.mark.parametrize("form", ["loops", *FORMS])
def test_what_lies_outside_a_map_counts_as_zero_and_its_weight_is_lost(form: Implementation):
    value = torch.ones(1, 24, 1, 1)
    x = torch.tensor([0.5, 0.0, -0.125, -0.2, 1.0, 7.0])  # inside, on the edge, half a cell outside, beyond
    locations = torch.stack([x, torch.full_like(x, 0.5)], dim=-1)[None, :, None, None, None]
    output = ms_deform_attn(value, [(6, 4)], locations, torch.ones(1, 6, 1, 1, 1), implementation=form)
    assert_close(output.flatten(), torch.tensor([1.0, 0.5, 0.0, 0.0, 0.5, 0.0]))


@pytest.mark.parametrize("form", FORMS)
def test_a_batch_equals_its_images_one_by_one(form: Implementation):
    value, locations, weights = random_inputs()
    together = ms_deform_attn(value, SHAPES, locations, weights, implementation=form)
    for image in range(2):
        alone = (tensor[image : image + 1] for tensor in (value, locations, weights))
        alone_value, alone_locations, alone_weights = alone
        output = ms_deform_attn(alone_value, SHAPES, alone_locations, alone_weights, implementation=form)
        assert_close(together[image : image + 1], output)


@pytest.mark.parametrize("form", FORMS)
def test_a_head_reads_its_own_channels_only(form: Implementation):
    value, locations, weights = random_inputs()
    before = ms_deform_attn(value, SHAPES, locations, weights, implementation=form)
    value[:, :, 2] += 1.0
    after = ms_deform_attn(value, SHAPES, locations, weights, implementation=form)
    changed = rearrange(after != before, "B Q (M D) -> M (B Q D)", M=3).any(-1)
    assert changed.tolist() == [False, False, True]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_values_keep_their_type_and_stay_close(dtype: torch.dtype):
    value, locations, weights = random_inputs(dtype=torch.float32)
    output = ms_deform_attn(value.to(dtype), SHAPES, locations, weights.to(dtype))
    assert output.dtype == dtype
    exact = ms_deform_attn(value, SHAPES, locations, weights)
    assert_close(output.float(), exact, atol=0.05, rtol=0.05)


def test_all_pixels_with_softmax_weights_is_dense_attention():
    """The paper's first limit: one level, every pixel a sampling point, weights from queries and keys."""
    height, width, heads, head_dim, queries = 4, 3, 2, 5, 7
    query, key, value = (torch.randn(2, n, heads, head_dim) for n in (queries, 12, 12))
    scores = torch.einsum("bqmd,bsmd->bqms", query, key) / head_dim**0.5
    centers = encoder_reference_points([(height, width)], torch.ones(2, 1, 2))[:, :, 0]  # B S 2
    locations = centers[:, None, None, None].expand(-1, queries, heads, 1, -1, -1)
    found = ms_deform_attn(value, [(height, width)], locations, scores.softmax(-1)[:, :, :, None])
    query, key, value = (rearrange(tensor, "B N M D -> B M N D") for tensor in (query, key, value))
    expected = rearrange(F.scaled_dot_product_attention(query, key, value), "B M Q D -> B Q (M D)")
    assert_close(found, expected)


def test_the_start_is_the_official_star():
    star = star_offsets(8, 2, 4)
    directions = torch.tensor(
        [[1, 0], [1, 1], [0, 1], [-1, 1], [-1, 0], [-1, -1], [0, -1], [1, -1]], dtype=torch.float32
    )
    for level in range(2):
        for point in range(4):
            assert_close(star[:, level, point], directions * (point + 1), atol=1e-5, rtol=0)


def test_at_the_start_every_query_looks_alike_and_weighs_all_points_the_same():
    layer = MSDeformAttn(d_model=32, num_levels=2, num_heads=4, num_points=3)
    query, tokens = torch.randn(2, 7, 32), torch.randn(2, 30, 32)
    reference = torch.rand(2, 7, 2, 2)
    _, record = layer(query, reference, tokens, SHAPES)
    assert_close(record.weights, torch.full((2, 7, 4, 2, 3), 1 / 6))
    sizes = torch.tensor([(w, h) for h, w in SHAPES])[:, None]
    offsets = (record.locations - reference[:, :, None, :, None]) * sizes
    assert_close(offsets, star_offsets(4, 2, 3).expand(2, 7, -1, -1, -1, -1), atol=1e-5, rtol=0)


def test_all_parameters_learn_from_the_first_step_on():
    layer = MSDeformAttn(d_model=32, num_levels=2, num_heads=4, num_points=3)
    output, _ = layer(
        torch.randn(2, 7, 32), 0.2 + 0.6 * torch.rand(2, 7, 2, 2), torch.randn(2, 30, 32), SHAPES
    )
    output.square().sum().backward()
    silent = [n for n, p in layer.named_parameters() if p.grad is None or not p.grad.any()]
    assert silent == []  # the bias of the star included


@pytest.mark.parametrize("queries", [7, 40])  # project what was sampled; sample what was projected
def test_poisoned_padding_moves_nothing_even_with_a_value_bias(queries: int):
    torch.manual_seed(0)
    layer = MSDeformAttn(d_model=32, num_levels=2, num_heads=4, num_points=3)
    torch.nn.init.normal_(layer.value_proj.bias)
    tokens, mask = torch.randn(2, 30, 32), torch.zeros(2, 30, dtype=torch.bool)
    mask[:, ::4] = True
    query, reference = torch.randn(2, queries, 32), torch.rand(2, queries, 2, 2)
    clean, _ = layer(query, reference, tokens, SHAPES, mask)
    poisoned, _ = layer(query, reference, tokens.masked_fill(mask[..., None], 1e6), SHAPES, mask)
    assert_close(poisoned, clean, atol=0, rtol=0)
    unmasked, _ = layer(query, reference, tokens, SHAPES)
    assert not torch.allclose(unmasked, clean)  # so the mask was used


def test_projecting_before_or_after_sampling_gives_the_same_numbers():
    torch.manual_seed(0)
    layer = MSDeformAttn(d_model=32, num_levels=2, num_heads=4, num_points=3)
    for parameter in layer.parameters():
        torch.nn.init.normal_(parameter)
    tokens, mask = torch.randn(2, 30, 32), torch.rand(2, 30) < 0.3
    query, reference = torch.randn(2, 40, 32), torch.rand(2, 40, 2, 2)
    many, _ = layer(query, reference, tokens, SHAPES, mask)
    few, _ = layer(query[:, :1], reference[:, :1], tokens, SHAPES, mask)
    assert_close(few, many[:, :1], atol=1e-4, rtol=1e-4)


def test_the_weights_are_a_softmax_over_levels_and_points_together():
    torch.manual_seed(0)
    layer = MSDeformAttn(d_model=32, num_levels=2, num_heads=4, num_points=3)
    torch.nn.init.normal_(layer.attention_weights.weight)
    _, record = layer(torch.randn(2, 7, 32), torch.rand(2, 7, 2, 2), torch.randn(2, 30, 32), SHAPES)
    assert_close(record.weights.sum((-1, -2)), torch.ones(2, 7, 4))
    assert record.weights.sum(-1).std() > 0.1


def test_the_published_layer_has_230272_parameters():
    assert sum(p.numel() for p in MSDeformAttn().parameters()) == 230_272
    assert sum(p.numel() for p in MSDeformAttn(num_levels=1).parameters()) == 156_256


def test_forward_memory_is_at_most_half_of_the_level_by_level_form_at_real_size():
    shapes = ((67, 67), (34, 34))
    inputs = random_inputs(shapes, batch=1, queries=3000, heads=8, head_dim=32, dtype=torch.float32)
    peaks = {}
    for form in ("grid_sample", "embedding_bag"):
        with torch.no_grad():
            peaks[form] = measure(
                lambda form=form: ms_deform_attn(
                    inputs[0], shapes, inputs[1], inputs[2], implementation=form
                ),
                repeats=1,
            ).peak_bytes
    assert peaks["embedding_bag"] < 0.5 * peaks["grid_sample"]
