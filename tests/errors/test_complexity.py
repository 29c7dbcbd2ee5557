"""Bad arguments of the cost formulas: one line, of the right type, that names the argument."""

# pyright: reportArgumentType=false

import pytest

from detr_tutorial.complexity import (
    deformable_attention_cost,
    dense_attention_cost,
    feed_forward_cost,
    layer_costs,
    level_shapes,
)

CASES = {
    "a size of 0": (
        lambda: dense_attention_cost(0, 5, 4, 2),
        ValueError,
        "num_queries must be at least 1, got 0",
    ),
    "a float": (lambda: dense_attention_cost(3, 5.0, 4, 2), TypeError, "num_keys must be an int, got float"),
    "heads that do not divide": (
        lambda: dense_attention_cost(3, 5, 4, 3),
        ValueError,
        "d_model=4 is not divisible by num_heads=3",
    ),
    "deformable: no points": (
        lambda: deformable_attention_cost(3, 5, 4, 2, 1, 0),
        ValueError,
        "num_points must be at least 1",
    ),
    "deformable: heads that do not divide": (
        lambda: deformable_attention_cost(3, 5, 4, 3, 1, 1),
        ValueError,
        "d_model=4 is not divisible by num_heads=3",
    ),
    "unknown place of the projection": (
        lambda: deformable_attention_cost(3, 5, 4, 2, 1, 1, "points"),
        ValueError,
        "project must be",
    ),
    "unknown attention": (lambda: layer_costs([(4, 6)], "linear"), ValueError, "attention must be"),
    "sizes of levels as a number": (
        lambda: layer_costs(24, "dense"),
        TypeError,
        "spatial_shapes must be a list",
    ),
    "no strides": (lambda: level_shapes(8, 8, ()), ValueError, "strides must hold at least 1"),
    "a stride of 0": (lambda: level_shapes(8, 8, (8, 0)), ValueError, r"strides\[1\] must be at least 1"),
    "a picture of no width": (lambda: level_shapes(8, 0), ValueError, "width"),
    "no hidden channels": (lambda: feed_forward_cost(3, 4, 0), ValueError, "ffn_dim must be at least 1"),
}


@pytest.mark.parametrize("case", CASES)
def test_a_bad_argument_is_named(case):
    call, kind, message = CASES[case]
    with pytest.raises(kind, match=message) as caught:
        call()
    assert "\n" not in str(caught.value)
