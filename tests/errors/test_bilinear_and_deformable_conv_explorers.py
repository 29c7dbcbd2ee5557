"""Bad arguments of the bilinear and the deformable convolution explorer: one line names the argument."""

# pyright: reportArgumentType=false

import pytest
import torch

from detr_tutorial.widgets import BilinearExplorer, DeformableConvExplorer

MAP, IMAGE = torch.zeros(4, 6), torch.zeros(3, 20, 30)


@pytest.mark.parametrize(
    ("level_map", "arguments", "kind", "message"),
    [
        (MAP[None], {}, ValueError, r"level_map must have shape \(H, W\)"),
        (MAP.long(), {}, TypeError, "level_map must be a floating"),
        (MAP / 0, {}, ValueError, "level_map must be finite"),
        (torch.zeros(4, 13), {}, ValueError, "level_map must have at most 12 cells a side"),
        (MAP, {"point": (9, 0)}, ValueError, "point must be"),
        (MAP, {"point": (1,)}, ValueError, "point must be"),
    ],
)
def test_bad_arguments_of_the_bilinear_explorer_are_named(level_map, arguments, kind, message):
    with pytest.raises(kind, match=message):
        BilinearExplorer(level_map, **arguments)


@pytest.mark.parametrize(
    ("image", "arguments", "kind", "message"),
    [
        (IMAGE[0], {}, ValueError, r"image must have shape \(3, H, W\)"),
        (IMAGE + 2, {}, ValueError, r"image must lie in \[0, 1\]"),
        (IMAGE, {"columns": 11}, ValueError, "columns must be at least 12"),
        (IMAGE, {"columns": 41}, ValueError, "columns must be at most 40, got 41"),
        (IMAGE, {"columns": 20.0}, TypeError, "columns must be an int"),
    ],
)
def test_bad_arguments_of_the_deformable_convolution_explorer_are_named(image, arguments, kind, message):
    with pytest.raises(kind, match=message):
        DeformableConvExplorer(image, **arguments)
