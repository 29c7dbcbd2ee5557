"""Bad arguments of the token explorer: one line that names the argument."""

# pyright: reportArgumentType=false

import pytest
import torch

from detr_tutorial.widgets import TokenExplorer

IMAGE = torch.zeros(3, 20, 30)


@pytest.mark.parametrize(
    ("arguments", "kind", "message"),
    [
        ((IMAGE[0], (20, 30), [(2, 3)]), ValueError, r"image must have shape \(3, H, W\)"),
        ((IMAGE - 1, (20, 30), [(2, 3)]), ValueError, r"image must lie in \[0, 1\]"),
        ((IMAGE, 30, [(2, 3)]), TypeError, "canvas must be a"),
        (
            (IMAGE, (20, 29), [(2, 3)]),
            ValueError,
            r"canvas must be at least as large as the image, \(20, 30\)",
        ),
        ((IMAGE, (20, 30), torch.tensor([[2, 3]])), TypeError, "spatial_shapes must be a list"),
        ((IMAGE, (20, 30), [(2, 3)] * 5), ValueError, "spatial_shapes must hold at most 4 levels, got 5"),
        ((IMAGE, (20, 30), [(2, 3)], 6), ValueError, "token=6 is not one of the 6 tokens"),
        ((IMAGE, (20, 30), [(2, 3)], 1.0), TypeError, "token must be an int"),
    ],
)
def test_bad_arguments_are_named(arguments, kind, message):
    with pytest.raises(kind, match=message):
        TokenExplorer(*arguments)
