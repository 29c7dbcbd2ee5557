"""Wrong arguments to reference points and attention give one clear line."""

import pytest
import torch

from detr_tutorial.deformable_attention import MSDeformAttn, ms_deform_attn, star_offsets
from detr_tutorial.reference_points import (
    encoder_reference_points,
    sampling_locations,
    to_normalized,
    to_pixels,
)

SHAPES = ((6, 4), (3, 2))
NAN = float("nan")


def core(**changes):
    arguments = {
        "value": torch.zeros(2, 30, 3, 5),
        "spatial_shapes": SHAPES,
        "sampling_locations": torch.zeros(2, 7, 3, 2, 4, 2),
        "attention_weights": torch.zeros(2, 7, 3, 2, 4),
    }
    return ms_deform_attn(**(arguments | changes))


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"value": torch.zeros(2, 30, 15)}, ValueError, r"value must have shape \(B, S, M, D\)"),
        ({"value": torch.zeros(2, 30, 3, 5, dtype=torch.int64)}, TypeError, "value must be a floating"),
        ({"value": [1.0]}, TypeError, "value must be a tensor"),
        ({"value": torch.zeros(0, 30, 3, 5)}, ValueError, "value is empty along B"),
        ({"value": torch.zeros(2, 29, 3, 5)}, ValueError, "value has 29 tokens .* hold 30"),
        ({"value": torch.full((2, 30, 3, 5), NAN)}, ValueError, "value, as read .* must be finite"),
        ({"spatial_shapes": torch.tensor(SHAPES)}, TypeError, "spatial_shapes must be a list"),
        ({"spatial_shapes": ((6, 4), (0, 2))}, ValueError, "must be at least 1, got 0"),
        ({"spatial_shapes": ((6, 5),)}, ValueError, "sampling_locations must have shape"),
        ({"spatial_shapes": ((6, 4.0), (3, 2))}, TypeError, "must be an int, got float"),
        ({"spatial_shapes": ()}, ValueError, "spatial_shapes must hold at least 1"),
        ({"sampling_locations": torch.zeros(2, 7, 3, 2, 4)}, ValueError, "sampling_locations must have"),
        ({"sampling_locations": torch.zeros(2, 7, 3, 2, 4, 3)}, ValueError, "sampling_locations must have"),
        (
            {"sampling_locations": torch.full((2, 7, 3, 2, 4, 2), NAN)},
            ValueError,
            "sampling_locations must be",
        ),
        (
            {"sampling_locations": torch.full((2, 7, 3, 2, 4, 2), float("inf"))},
            ValueError,
            "sampling_locations must be finite",
        ),
        ({"attention_weights": torch.zeros(2, 7, 3, 8)}, ValueError, "attention_weights must have shape"),
        (
            {"attention_weights": torch.zeros(2, 7, 3, 2, 4).int()},
            TypeError,
            "attention_weights must be a fl",
        ),
        (
            {"attention_weights": torch.full((2, 7, 3, 2, 4), NAN)},
            ValueError,
            "attention_weights must be fin",
        ),
        ({"implementation": "cuda"}, ValueError, "implementation must be .* got 'cuda'"),
    ],
)
def test_the_core_names_the_wrong_argument(changes, error, message):
    with pytest.raises(error, match=message):
        core(**changes)


def test_single_level_with_the_wrong_number_of_tokens():
    with pytest.raises(ValueError, match="value has 30 tokens"):
        core(spatial_shapes=((5, 5),))


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"d_model": 250}, ValueError, "d_model=250 is not divisible by num_heads=8"),
        ({"num_levels": 0}, ValueError, "num_levels must be at least 1"),
        ({"num_heads": 2.0}, TypeError, "num_heads must be an int"),
        ({"num_points": True}, TypeError, "num_points must be an int"),
    ],
)
def test_the_layer_refuses_sizes_that_do_not_fit(arguments, error, message):
    with pytest.raises(error, match=message):
        MSDeformAttn(**arguments)


def layer(**changes):
    arguments = {
        "query": torch.zeros(2, 7, 12),
        "reference_points": torch.zeros(2, 7, 2, 2),
        "value_tokens": torch.zeros(2, 30, 12),
        "spatial_shapes": SHAPES,
    }
    return MSDeformAttn(12, 2, 3, 4)(**(arguments | changes))


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"query": torch.zeros(2, 7, 13)}, ValueError, r"query must have shape \(B, Q, 12\)"),
        ({"query": torch.zeros(2, 0, 12)}, ValueError, "query is empty along Q"),
        ({"query": torch.full((2, 7, 12), NAN)}, ValueError, "query must be finite"),
        ({"value_tokens": torch.zeros(3, 30, 12)}, ValueError, "value_tokens must have shape"),
        ({"value_tokens": torch.zeros(2, 29, 12)}, ValueError, "29 tokens"),
        (
            {"reference_points": torch.zeros(2, 7, 2, 3)},
            ValueError,
            "reference_points must end in an axis of 2",
        ),
        ({"reference_points": torch.zeros(2, 6, 2, 2)}, ValueError, "reference_points must have shape"),
        ({"reference_points": torch.full((2, 7, 2, 2), NAN)}, ValueError, "reference_points must be finite"),
        ({"spatial_shapes": ((5, 6),)}, ValueError, "spatial_shapes has 1 levels.* num_levels=2"),
        ({"mask": torch.zeros(2, 30)}, TypeError, "mask must be a bool"),
        ({"mask": torch.zeros(2, 29, dtype=torch.bool)}, ValueError, "mask must have shape"),
    ],
)
def test_the_layer_names_the_wrong_argument(changes, error, message):
    with pytest.raises(error, match=message):
        layer(**changes)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: encoder_reference_points(SHAPES, torch.ones(2, 3, 2)), ValueError, "valid_ratios must have"),
        (lambda: encoder_reference_points(SHAPES, torch.zeros(2, 2, 2)), ValueError, r"in \(0, 1\]"),
        (lambda: encoder_reference_points(SHAPES, torch.full((2, 2, 2), NAN)), ValueError, r"in \(0, 1\]"),
        (
            lambda: encoder_reference_points(SHAPES, torch.ones(2, 2, 2).int()),
            TypeError,
            "valid_ratios must be",
        ),
        (lambda: encoder_reference_points(((0, 3),), torch.ones(2, 1, 2)), ValueError, "at least 1, got 0"),
        (lambda: to_pixels(torch.zeros(3), (4, 5)), ValueError, "points must have shape"),
        (lambda: to_pixels(torch.zeros(2), (4, 0)), ValueError, "at least 1, got 0"),
        (lambda: to_normalized(torch.zeros(2).int(), (4, 5)), TypeError, "pixels must be a floating"),
        (
            lambda: sampling_locations(torch.zeros(2, 7, 2, 3), torch.zeros(2, 7, 3, 2, 4, 2), SHAPES),
            ValueError,
            r"axis of 2 \(x, y\) or 4",
        ),
        (
            lambda: sampling_locations(torch.zeros(2, 7, 2, 2), torch.zeros(2, 7, 3, 1, 4, 2), SHAPES),
            ValueError,
            "sampling_offsets must have shape",
        ),
        (lambda: star_offsets(0, 1, 1), ValueError, "num_heads must be at least 1"),
    ],
)
def test_points_name_the_wrong_argument(call, error, message):
    with pytest.raises(error, match=message):
        call()
