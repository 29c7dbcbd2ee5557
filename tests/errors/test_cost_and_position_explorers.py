"""Bad arguments of the cost explorer and of the position explorer: one line that names the argument."""

# pyright: reportArgumentType=false

import pytest
import torch

from detr_tutorial.widgets import CostExplorer, PositionExplorer

IMAGE = torch.zeros(3, 20, 30)


@pytest.mark.parametrize(
    ("arguments", "kind", "message"),
    [
        ({"height": 64}, ValueError, "height must be at least 128"),
        ({"height": 2049, "width": 3000}, ValueError, "height must be at most 2048"),
        ({"height": 800.0}, TypeError, "height must be an int"),
        ({"width": 700}, ValueError, "width=700 must not be smaller"),
        ({"strides": (64, 8)}, ValueError, "strides must be out of"),
        ({"strides": 8}, TypeError, "strides must be a list"),
        ({"num_points": 17}, ValueError, "num_points must be at most 16"),
        ({"num_queries": 0}, ValueError, "num_queries must be at least 1"),
        ({"d_model": 30}, ValueError, "d_model=30 is not divisible by num_heads=8"),
    ],
)
def test_bad_arguments_of_the_cost_explorer_are_named(arguments, kind, message):
    with pytest.raises(kind, match=message):
        CostExplorer(**arguments)


@pytest.mark.parametrize(
    ("image", "arguments", "kind", "message"),
    [
        (IMAGE[0], {}, ValueError, r"image must have shape \(3, H, W\)"),
        (IMAGE + 2, {}, ValueError, r"image must lie in \[0, 1\]"),
        (IMAGE, {"size": 15}, TypeError, "size must be a"),
        (IMAGE, {"size": (0, 4)}, ValueError, "height"),
        (IMAGE, {"num_features_per_axis": 7}, ValueError, "num_features_per_axis=7 is not divisible"),
    ],
)
def test_bad_arguments_of_the_position_explorer_are_named(image, arguments, kind, message):
    with pytest.raises(kind, match=message):
        PositionExplorer(image, **arguments)
