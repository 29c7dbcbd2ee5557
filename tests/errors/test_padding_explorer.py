"""What the padding explorer says about arguments that are none."""

import pytest
import torch

from detr_tutorial.widgets import PaddingExplorer

PICTURES = [torch.rand(3, 4, 6), torch.rand(3, 5, 3)]


@pytest.mark.parametrize(
    ("images", "max_side", "error", "message"),
    [
        (torch.rand(2, 3, 4, 6), None, TypeError, "images must be a list or tuple of"),
        ("coffee", None, TypeError, "images must be a list or tuple of"),
        ([*PICTURES, torch.rand(4, 6)], None, ValueError, r"images\[2\] must have shape \(3, H, W\)"),
        ([PICTURES[0], torch.rand(1, 4, 6)], None, ValueError, r"images\[1\] must have shape \(3, H, W\)"),
        (
            [PICTURES[0], torch.ones(3, 4, 6).long()],
            None,
            TypeError,
            r"images\[1\] must be a floating tensor",
        ),
        ([PICTURES[0], "cat"], None, TypeError, r"images\[1\] must be a tensor"),
        ([PICTURES[0], PICTURES[1] * 255], None, ValueError, r"images\[1\] must lie in \[0, 1\]"),
        (PICTURES, 6.5, TypeError, "max_side must be an int, got float"),
        (PICTURES, 5, ValueError, "max_side must be at least the longest side 6, got 5"),
    ],
)
def test_a_bad_argument_is_named(images, max_side, error, message):
    with pytest.raises(error, match=message):
        PaddingExplorer(images, max_side)
