"""Projection, extra levels, flattening."""

# pyright: reportIndexIssue=false

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.testing import assert_close

from detr_tutorial.features import FeatureProjection, flatten_levels, unflatten_levels
from detr_tutorial.padding import pad_images, resize_mask, valid_ratios

FEW = settings(deadline=None, derandomize=True, max_examples=25, database=None)
SHAPES = ((5, 7), (3, 4), (2, 1))


def levels(channels: int, shapes=SHAPES, batch: int = 2, seed: int = 0) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(batch, channels, height, width, generator=generator) for height, width in shapes]


def masks_of(shapes=SHAPES) -> list[torch.Tensor]:
    mask = pad_images([torch.zeros(3, 40, 30), torch.zeros(3, 33, 56)]).mask
    return [resize_mask(mask, shape) for shape in shapes]


def flatten(features=None, positions=None, masks=None, level_embedding=None):
    return flatten_levels(
        levels(6) if features is None else features,
        levels(6, seed=1) if positions is None else positions,
        masks_of() if masks is None else masks,
        torch.arange(18.0).reshape(3, 6) if level_embedding is None else level_embedding,
    )


def test_every_level_has_d_model_channels_and_each_extra_one_is_half_as_large():
    maps = FeatureProjection((5, 11, 17), d_model=64, num_levels=5)(
        [torch.randn(2, c, h, w) for c, h, w in ((5, 33, 41), (11, 17, 21), (17, 9, 11))]
    )
    assert [tuple(m.shape) for m in maps] == [
        (2, 64, 33, 41),
        (2, 64, 17, 21),
        (2, 64, 9, 11),
        (2, 64, 5, 6),
        (2, 64, 3, 3),
    ]


def test_the_extra_level_reads_the_raw_last_map():
    projection = FeatureProjection((512, 1024, 2048), d_model=256, num_levels=4)
    sizes = [sum(p.numel() for p in level.parameters()) for level in projection.projections]
    norm = 2 * 256
    assert sizes == [
        512 * 256 + 256 + norm,
        1024 * 256 + 256 + norm,
        2048 * 256 + 256 + norm,
        2048 * 9 * 256 + 256 + norm,  # 4.7 million; 0.6 million would mean that it reads the projected map
    ]


def test_the_extra_level_does_not_depend_on_the_projection_of_the_last_map():
    projection = FeatureProjection((5, 17), d_model=32, num_levels=3)
    features = [torch.randn(1, 5, 6, 8), torch.randn(1, 17, 3, 4)]
    before = projection(features)
    nn.init.zeros_(projection.projections[1][0].weight)
    after = projection(features)
    assert torch.equal(before[2], after[2])
    assert not torch.equal(before[1], after[1])


def test_a_second_extra_level_reads_the_first():
    projection = FeatureProjection((17,), d_model=32, num_levels=3)
    features = [torch.randn(1, 17, 9, 11)]
    maps = projection(features)
    assert_close(maps[2], projection.projections[2](maps[1]))


def test_projections_start_with_xavier_weights_and_zero_biases():
    torch.manual_seed(0)
    for level in FeatureProjection((48, 96), d_model=64, num_levels=3).projections:
        convolution = level[0]
        fan = convolution.kernel_size[0] ** 2 * (convolution.in_channels + convolution.out_channels)
        bound = (6 / fan) ** 0.5
        assert convolution.bias.eq(0).all()
        assert 0.98 * bound < convolution.weight.abs().max() <= bound


def test_group_norm_has_32_groups():
    assert [level[1].num_groups for level in FeatureProjection((5,), 64, 2).projections] == [32, 32]


def test_padding_changes_the_group_norm_of_the_projection():
    """The published model has this property too: results depend on the other images of the batch."""
    projection = FeatureProjection((5,), d_model=32, num_levels=1)
    image = torch.randn(1, 5, 6, 8)
    padded = torch.cat([image, torch.zeros(1, 5, 6, 8)], dim=3)
    (alone,), (with_padding,) = projection([image]), projection([padded])
    assert (alone - with_padding[..., :8]).abs().max() > 0.1


def test_tokens_are_in_row_major_order_level_after_level():
    features = levels(6)
    tokens = flatten(features=features).tokens
    start = 0
    for feature, (height, width) in zip(features, SHAPES, strict=True):
        for index in range(height * width):
            row, column = index // width, index % width
            assert torch.equal(tokens[:, start + index], feature[:, :, row, column])
        start += height * width
    assert start == tokens.shape[1]


def test_mask_and_positions_are_in_the_order_of_the_tokens():
    positions, masks = levels(6, seed=1), masks_of()
    flattened = flatten(positions=positions, masks=masks, level_embedding=torch.zeros(3, 6))
    start = 0
    for position, mask, (height, width) in zip(positions, masks, SHAPES, strict=True):
        for index in range(height * width):
            row, column = index // width, index % width
            assert torch.equal(flattened.positions[:, start + index], position[:, :, row, column])
            assert torch.equal(flattened.mask[:, start + index], mask[:, row, column])
        start += height * width
    assert flattened.spatial_shapes == SHAPES
    assert_close(flattened.valid_ratios, valid_ratios(masks))


def test_sizes_are_python_integers():
    for side in (side for shape in flatten().spatial_shapes for side in shape):
        assert type(side) is int


def test_the_level_embedding_is_added_to_the_positions_and_not_to_the_tokens():
    with_levels, without = flatten(), flatten(level_embedding=torch.zeros(3, 6))
    assert torch.equal(with_levels.tokens, without.tokens)
    difference = unflatten_levels(with_levels.positions - without.positions, SHAPES)
    for level, part in enumerate(difference):
        expected = torch.arange(18.0).reshape(3, 6)[level][None, :, None, None].expand_as(part)
        assert_close(part, expected, atol=3e-6, rtol=0)


def test_cells_of_equal_content_on_two_levels_have_different_queries():
    shapes = ((2, 3), (2, 3))
    same = [torch.ones(2, 6, 2, 3)] * 2
    masks = [torch.zeros(2, 2, 3, dtype=torch.bool)] * 2
    query_parts = flatten(same, same, masks, torch.randn(2, 6))
    fine, coarse = unflatten_levels(query_parts.tokens + query_parts.positions, shapes)
    assert (fine - coarse).abs().min(dim=1).values.max() > 0.01


@FEW
@given(st.lists(st.tuples(st.integers(1, 6), st.integers(1, 6)), min_size=1, max_size=4), st.integers(1, 3))
def test_cutting_tokens_back_gives_the_maps(shapes, batch):
    features = levels(5, shapes, batch)
    masks = [torch.zeros(batch, height, width, dtype=torch.bool) for height, width in shapes]
    flattened = flatten_levels(features, features, masks, torch.zeros(len(shapes), 5))
    for found, expected in zip(
        unflatten_levels(flattened.tokens, flattened.spatial_shapes), features, strict=True
    ):
        assert torch.equal(found, expected)


def test_one_image_of_a_batch_does_not_change_the_tokens_of_another():
    features = levels(6)
    changed = [torch.cat([feature[:1], feature[1:] + 3]) for feature in features]
    assert torch.equal(flatten(features).tokens[0], flatten(changed).tokens[0])


def test_gradients_reach_features_and_level_embedding():
    features = [feature.requires_grad_() for feature in levels(6)]
    embedding = torch.randn(3, 6, requires_grad=True)
    flattened = flatten(features, level_embedding=embedding)
    (flattened.tokens.sum() + flattened.positions.sum()).backward()
    assert embedding.grad is not None
    assert embedding.grad[:, 0].tolist() == [2 * h * w for h, w in SHAPES]
    assert all(feature.grad is not None and feature.grad.eq(1).all() for feature in features)


@pytest.mark.parametrize("d_model", [64, 96])
def test_a_picture_of_one_pixel_passes(d_model):
    projection = FeatureProjection((5, 7, 9), d_model, num_levels=4)
    maps = projection([torch.randn(1, channels, 1, 1) for channels in (5, 7, 9)])
    assert all(m.shape == (1, d_model, 1, 1) and torch.isfinite(m).all() for m in maps)
