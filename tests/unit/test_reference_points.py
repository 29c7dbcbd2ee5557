"""Reference points and sampling locations, against the formula written out for one point at a time."""

import hypothesis.strategies as st
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from torch.testing import assert_close

from detr_tutorial.padding import resize_mask, valid_ratios
from detr_tutorial.reference_points import (
    encoder_reference_points,
    sampling_locations,
    to_normalized,
    to_pixels,
)

SHAPES = ((6, 4), (3, 2))
sides = st.integers(1, 7)


def test_pixel_centers_are_whole_numbers_and_edges_lie_half_a_cell_outside():
    points = torch.tensor([[0.0, 0.0], [0.5 / 4, 0.5 / 6], [1.0, 1.0]])
    assert_close(to_pixels(points, (6, 4)), torch.tensor([[-0.5, -0.5], [0.0, 0.0], [3.5, 5.5]]))


@given(height=sides, width=sides, x=st.floats(-2, 3), y=st.floats(-2, 3))
def test_to_normalized_undoes_to_pixels(height: int, width: int, x: float, y: float):
    point = torch.tensor([x, y], dtype=torch.float64)
    assert_close(to_normalized(to_pixels(point, (height, width)), (height, width)), point)


@given(shapes=st.lists(st.tuples(sides, sides), min_size=1, max_size=3), data=st.data())
def test_every_token_refers_to_its_own_center_on_every_level(shapes: list, data: st.DataObject):
    ratios = torch.tensor(
        [
            [
                [data.draw(st.integers(1, w)) / w, data.draw(st.integers(1, h)) / h]  # (x, y)
                for h, w in shapes
            ]
            for _ in range(2)
        ],
        dtype=torch.float64,
    )
    points = encoder_reference_points(shapes, ratios)
    token = 0
    for own, (height, width) in enumerate(shapes):
        for row in range(height):
            for column in range(width):  # row-major
                for image in range(2):
                    x = (column + 0.5) / (width * ratios[image, own, 0])
                    y = (row + 0.5) / (height * ratios[image, own, 1])
                    expected = torch.stack([x * ratios[image, :, 0], y * ratios[image, :, 1]], dim=-1)
                    assert_close(points[image, token], expected)
                token += 1
    assert points.shape == (2, token, len(shapes), 2)


def test_a_token_without_padding_samples_its_own_cell_exactly():
    level_map = torch.randn(1, 5, 6, 4)  # B C H W
    centers = encoder_reference_points([(6, 4)], torch.ones(1, 1, 2))[:, :, 0]
    read = F.grid_sample(level_map, 2 * centers[:, None] - 1, align_corners=False)
    assert_close(read[:, :, 0], level_map.flatten(2))


def test_a_query_at_one_one_hits_the_edge_of_the_last_valid_cell():
    mask = torch.ones(1, 48, 64, dtype=torch.bool)
    mask[:, :32, :40] = False
    masks = [resize_mask(mask, (6, 8)), resize_mask(mask, (3, 4))]
    ratios = valid_ratios(masks)
    on_padded_maps = torch.ones(1, 1, 1, 2) * ratios[:, None]
    for level, level_mask in enumerate(masks):
        height, width = level_mask.shape[1:]
        x, y = to_pixels(on_padded_maps[0, 0, level], (height, width)).tolist()
        columns, rows = int((~level_mask[0, 0]).sum()), int((~level_mask[0, :, 0]).sum())
        assert (x, y) == pytest.approx((columns - 0.5, rows - 0.5))


def test_an_offset_of_one_moves_exactly_one_cell_along_its_own_axis():
    reference = torch.full((1, 1, 2, 2), 0.5)
    offsets = torch.zeros(1, 1, 1, 2, 2, 2)
    offsets[..., 0, 0] = 1.0  # point 0: one to the right
    offsets[..., 1, 1] = 1.0  # point 1: one down
    locations = sampling_locations(reference, offsets, SHAPES)
    for level, (height, width) in enumerate(SHAPES):
        moved = to_pixels(locations[0, 0, 0, level], (height, width)) - to_pixels(
            reference[0, 0, level], (height, width)
        )
        assert_close(moved, torch.tensor([[1.0, 0.0], [0.0, 1.0]]))


def test_an_offset_of_num_points_reaches_the_edge_of_a_box():
    box = torch.tensor([0.4, 0.6, 0.2, 0.3]).expand(1, 1, 2, 4)
    offsets = torch.zeros(1, 1, 1, 2, 3, 2)
    offsets[..., 2, 0] = 3.0
    offsets[..., 1, 1] = -3.0
    locations = sampling_locations(box, offsets, SHAPES)
    assert_close(locations[0, 0, 0, :, 2], torch.tensor([[0.4 + 0.1, 0.6]]).expand(2, 2))
    assert_close(locations[0, 0, 0, :, 1], torch.tensor([[0.4, 0.6 - 0.15]]).expand(2, 2))


@given(num_points=st.integers(1, 4), boxes=st.booleans())
def test_sampling_locations_equal_the_formula_point_by_point(num_points: int, boxes: bool):
    generator = torch.Generator().manual_seed(num_points)
    reference = torch.rand(2, 7, 2, 4 if boxes else 2, generator=generator, dtype=torch.float64)
    offsets = torch.randn(2, 7, 3, 2, num_points, 2, generator=generator, dtype=torch.float64)
    locations = sampling_locations(reference, offsets, SHAPES)
    for level, (height, width) in enumerate(SHAPES):
        for axis, cells in ((0, width), (1, height)):
            step = reference[:, :, level, 2 + axis] * 0.5 / num_points if boxes else torch.tensor(1 / cells)
            step = step.expand(2, 7)[:, :, None, None]
            expected = reference[:, :, None, level, axis, None] + offsets[:, :, :, level, :, axis] * step
            assert_close(locations[:, :, :, level, :, axis], expected)


def test_learned_references_spread_over_the_picture_when_embeddings_have_unit_variance():
    torch.manual_seed(0)
    to_reference = torch.nn.Linear(256, 2)
    torch.nn.init.xavier_uniform_(to_reference.weight)
    torch.nn.init.zeros_(to_reference.bias)
    spread = {std: to_reference(std * torch.randn(300, 256)).sigmoid().std().item() for std in (1.0, 0.02)}
    assert 0.2 < spread[1.0] < 0.32
    assert 0.0 < spread[0.02] < 0.01
