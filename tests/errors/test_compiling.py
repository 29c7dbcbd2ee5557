"""Compiling works where the runtime shape checks, which the compiler cannot follow, are off."""

import torch
from torch.testing import assert_close

from detr_tutorial.deformable_attention import MSDeformAttn


def test_the_attention_layer_compiles_without_a_graph_break_and_gives_the_same_numbers():
    layer = MSDeformAttn(d_model=32, num_levels=2, num_heads=4, num_points=3)
    arguments = (torch.randn(2, 7, 32), torch.rand(2, 7, 2, 2), torch.randn(2, 30, 32), ((6, 4), (3, 2)))
    compiled = torch.compile(layer, backend="eager", fullgraph=True)
    assert_close(compiled(*arguments)[0], layer(*arguments)[0])
