"""The example that goes through the whole book."""

# pyright: reportArgumentType=false, reportOptionalMemberAccess=false

import copy
import re

import pytest
import torch
from torch.testing import assert_close

from detr_tutorial.deformable_attention import MSDeformAttn
from detr_tutorial.features import unflatten_levels
from detr_tutorial.reference_points import encoder_reference_points
from detr_tutorial.running_example import STAGES, RunningExample, fingerprint, running_example

FIELDS_OF_STAGE = {
    "images": {"images"},
    "batch": {"batch"},
    "backbone": {"features", "masks"},
    "positions": {"positions"},
    "flattened": {"flattened"},
    "reference_points": {"reference_points"},
    "sampling": {"attention", "sampling"},
    "attention": {"output"},
    "encoder": {"encoder", "memory"},
    "decoder": {"decoder", "query_embedding", "to_references", "references", "queries"},
    "boxes": {"refiner", "boxes"},
    "proposals": {"proposal_stage", "first_stage"},
}


@pytest.fixture(scope="module")
def example() -> RunningExample:
    return running_example(STAGES[-1])


def tensors_of(example: RunningExample) -> dict[str, torch.Tensor]:
    found = {}
    for name, value in example._asdict().items():
        if isinstance(value, torch.Tensor):
            found[name] = value
        elif isinstance(value, (tuple, list)):
            found |= {f"{name}{i}": part for i, part in enumerate(value) if isinstance(part, torch.Tensor)}
    return found


def test_later_fields_are_none_before_their_stage():
    known = set()
    for stage in STAGES:
        known |= FIELDS_OF_STAGE[stage]
        fields = running_example(stage)._asdict()
        assert {name for name, value in fields.items() if value is not None} == known


def test_the_batch_has_padding_to_the_right_and_below_and_no_square_level(example):
    heights, widths = zip(*(image.shape[1:] for image in example.images), strict=True)
    assert heights[0] < widths[0]
    assert heights[1] > widths[1]
    assert example.batch.mask[0, -1].all()
    assert example.batch.mask[1, :, -1].all()
    assert all(height != width for height, width in example.flattened.spatial_shapes)
    assert all(200 <= side <= 330 for side in heights + widths)


def test_the_sizes_of_every_stage(example):
    assert example.batch.pixels.shape == (2, 3, 264, 328)
    assert example.flattened.spatial_shapes == ((33, 41), (17, 21), (9, 11), (5, 6))
    assert [tuple(f.shape) for f in example.features] == [(2, 32, 33, 41), (2, 64, 17, 21), (2, 128, 9, 11)]
    assert [tuple(m.shape[1:]) for m in example.masks] == list(example.flattened.spatial_shapes)
    assert [tuple(p.shape[2:]) for p in example.positions] == list(example.flattened.spatial_shapes)
    assert example.flattened.tokens.shape == (2, 1839, 64)
    assert example.reference_points.shape == (2, 1839, 4, 2)
    assert example.sampling.locations.shape == (2, 1839, 8, 4, 4, 2)
    assert example.sampling.weights.shape == (2, 1839, 8, 4, 4)
    assert example.output.shape == example.memory.shape == (2, 1839, 64)
    assert example.query_embedding.shape == (30, 128)
    assert example.references.shape == (2, 30, 2)
    assert example.queries.shape == (2, 30, 64)
    assert example.boxes.shape == example.first_stage.references.shape == (2, 30, 4)
    assert example.first_stage.queries.shape == (2, 30, 64)
    assert example.first_stage.proposals.boxes.shape == (2, 1839, 4)


def test_two_calls_agree_to_the_last_bit_and_share_nothing(example):
    again = running_example(STAGES[-1])
    for name, tensor in tensors_of(example).items():
        other = tensors_of(again)[name]
        assert torch.equal(tensor, other), name
        assert tensor.data_ptr() != other.data_ptr(), name


def test_stages_agree_with_the_whole(example):
    for stage in STAGES:
        for name, tensor in tensors_of(running_example(stage)).items():
            assert torch.equal(tensor, tensors_of(example)[name]), (stage, name)


def test_the_global_random_state_stays_as_it_is():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    running_example()
    assert torch.equal(torch.rand(3), expected)


def test_the_global_random_state_does_not_matter(example):
    torch.manual_seed(123)
    assert torch.equal(running_example().output, example.output)


def test_references_and_attention_follow_from_the_stage_before(example):
    flattened = example.flattened
    references = encoder_reference_points(flattened.spatial_shapes, flattened.valid_ratios)
    assert torch.equal(references, example.reference_points)
    query = flattened.tokens + flattened.positions
    output, record = example.attention(
        query, references, flattened.tokens, flattened.spatial_shapes, flattened.mask
    )
    assert_close(output, example.output)
    assert_close(record.locations, example.sampling.locations)
    assert_close(record.weights, torch.full_like(record.weights, 1 / 16))


def test_the_memory_comes_from_six_layers_of_which_the_first_holds_the_attention(example):
    assert len(example.encoder.layers) == len(example.decoder.layers) == 6
    assert example.encoder.layers[0].self_attention is example.attention
    layer = example.encoder.layers[0]
    normed = layer.self_attention_norm(example.flattened.tokens + example.output)
    flattened = example.flattened._replace(tokens=layer.ffn_norm(normed + layer.ffn(normed)))
    encoder = copy.deepcopy(example.encoder)
    encoder.layers = encoder.layers[1:]
    memory, _ = encoder(flattened)
    assert_close(memory, example.memory)


def test_the_object_queries_are_those_of_a_decoder_without_refinement(example):
    positions, content = example.query_embedding.expand(2, -1, -1).chunk(2, dim=-1)
    seen = []
    example.decoder.class_heads[0].register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    example.decoder(content, positions, example.references, example.memory, example.flattened)
    assert_close(seen[-1], example.queries)
    assert example.references[0].std(0).min() > 0.15
    assert_close(example.references[0], example.references[1])


def test_the_boxes_come_from_the_layers_of_the_decoder_and_the_proposals_from_the_memory(example):
    assert example.refiner.layers is example.decoder.layers
    assert example.refiner.refine_boxes
    positions, content = example.query_embedding.expand(2, -1, -1).chunk(2, dim=-1)
    refined = example.refiner(content, positions, example.references, example.memory, example.flattened)
    assert_close(refined.layers[-1].boxes, example.boxes)
    assert (refined.layers[0].boxes - example.boxes).abs().max() > 0.01
    again = example.proposal_stage(example.memory, example.flattened)
    assert_close(again.references, example.first_stage.references)


def test_the_default_ends_with_the_attention():
    assert running_example().memory is None
    assert running_example().output is not None


def test_the_query_is_token_and_position_and_the_value_is_the_token(example, monkeypatch):
    """The attention starts with zero weights, so its output does not show what the query was."""
    seen = []
    original = MSDeformAttn.forward
    monkeypatch.setattr(MSDeformAttn, "forward", lambda *args: seen.append(args) or original(*args))
    flattened = running_example().flattened
    _, query, references, value, shapes, mask = seen[0]
    assert torch.equal(query, flattened.tokens + flattened.positions)
    assert torch.equal(value, flattened.tokens)
    assert torch.equal(references, example.reference_points)
    assert shapes == flattened.spatial_shapes
    assert torch.equal(mask, flattened.mask)


def test_the_level_embedding_has_standard_deviation_one(example):
    with_level = unflatten_levels(example.flattened.positions, example.flattened.spatial_shapes)
    vectors = torch.stack(
        [
            (level - position)[0, :, 0, 0]
            for level, position in zip(with_level, example.positions, strict=True)
        ]
    )
    assert 0.85 < vectors.std() < 1.15
    assert vectors.mean().abs() < 0.15


def test_everything_is_finite(example):
    for name, tensor in tensors_of(example).items():
        assert torch.isfinite(tensor).all(), name


def test_a_fingerprint_is_shape_mean_and_deviation():
    assert fingerprint(torch.tensor([[1.0, 3.0, 2.0]])) == "(1, 3)  mean 2.000  std 0.816"
    assert fingerprint(torch.tensor([True, False, False, False])) == "(4,)  mean 0.250  std 0.433"
    assert fingerprint(torch.tensor(-1e-9)) == "()  mean 0.0000  std 0.000"


def test_fingerprints_of_the_example_are_far_from_a_rounding_edge(example):
    """Another processor gives numbers that differ by about 1e-6: no printed digit may change."""
    for name, tensor in tensors_of(example).items():
        line = fingerprint(tensor)
        assert re.fullmatch(r"\(.*\)  mean -?\d+\.\d{3,4}  std \d+\.\d{3}", line)
        if tensor.is_floating_point():
            for change in (3e-6, -3e-6):
                assert fingerprint(tensor.double() + change) == line, name
                assert fingerprint(tensor.double() * (1 + change)) == line, name
