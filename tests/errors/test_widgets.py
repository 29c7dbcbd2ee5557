"""What the explorer says about arguments that do not fit."""

import pytest
import torch

from detr_tutorial.deformable_attention import MSDeformAttn
from detr_tutorial.widgets import SamplingPointsExplorer
from tests.widgets.scenes import example

GOOD = example()


def explore(**changes):
    arguments = {
        "attention": GOOD.attention,
        "flattened": GOOD.flattened,
        "image": GOOD.images[0],
        "image_index": 0,
        "query_level": 1,
    }
    return SamplingPointsExplorer(**{**arguments, **changes})


def flattened(**changes):
    return GOOD.flattened._replace(**changes)


def mask_with_a_hole():
    mask = GOOD.flattened.mask.clone()
    mask[0, 45] = True
    return mask


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"attention": torch.nn.Linear(2, 2)}, TypeError, "attention must be an MSDeformAttn, got Linear"),
        ({"flattened": [1, 2]}, TypeError, "flattened must be a FlattenedFeatures, got list"),
        (
            {"attention": MSDeformAttn(64, 3, 8, 4)},
            ValueError,
            "attention expects 3 levels, flattened holds 4",
        ),
        ({"attention": MSDeformAttn(32, 4, 8, 4)}, ValueError, "flattened.tokens must have shape"),
        (
            {"flattened": flattened(positions=torch.zeros(2, 3, 64))},
            ValueError,
            "flattened.positions must have shape",
        ),
        (
            {"flattened": flattened(mask=GOOD.flattened.mask.float())},
            TypeError,
            "flattened.mask must be a bool tensor",
        ),
        (
            {"flattened": flattened(mask=mask_with_a_hole())},
            ValueError,
            "padding on the right and bottom only",
        ),
        ({"flattened": flattened(mask=torch.ones(2, 1985, dtype=torch.bool))}, ValueError, "level 0 is not"),
        ({"image": "cat.jpg"}, TypeError, "image must be a tensor of shape"),
        (
            {"image": torch.rand(240, 320, 3)},
            ValueError,
            r"image must have shape \(3, H, W\), got \(240, 320, 3\)",
        ),
        (
            {"image": torch.zeros(3, 240, 320, dtype=torch.uint8)},
            TypeError,
            "image must be a floating tensor",
        ),
        ({"image": GOOD.images[0] * 255}, ValueError, r"image must lie in \[0, 1\]"),
        ({"image": torch.full((3, 240, 320), float("nan"))}, ValueError, r"image must lie in \[0, 1\]"),
        ({"image": GOOD.images[1]}, ValueError, "is it another image of the batch"),
        ({"image_index": 2}, ValueError, "image_index=2 is not in the batch of 2"),
        ({"image_index": -1}, ValueError, "image_index must be at least 0, got -1"),
        ({"image_index": 0.0}, TypeError, "image_index must be an int"),
        ({"query_level": 4}, ValueError, "query_level=4 is not one of the 4 levels"),
        ({"query_level": True}, TypeError, "query_level must be an int"),
        ({"query_level": 0}, ValueError, "choose a coarser level"),
    ],
)
def test_an_argument_that_does_not_fit_is_named_in_one_line(changes, error, message):
    with pytest.raises(error, match=message) as caught:
        explore(**changes)
    assert "\n" not in str(caught.value)
