"""The attention gives the numbers of transformers and, in the paper's second limit, of torchvision."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.testing import assert_close
from torchvision.ops import deform_conv2d
from transformers import DeformableDetrConfig
from transformers.models.deformable_detr.modeling_deformable_detr import (
    DeformableDetrMultiscaleDeformableAttention,
)

from detr_tutorial.deformable_attention import MSDeformAttn, ms_deform_attn
from detr_tutorial.reference_points import encoder_reference_points

SHAPES = ((9, 5), (4, 7), (1, 3))
TOKENS, CHANNELS, HEADS, POINTS = 45 + 28 + 3, 24, 3, 4


def both_layers(seed: int) -> tuple[MSDeformAttn, DeformableDetrMultiscaleDeformableAttention]:
    """Ours and theirs with the same random weights, biases included."""
    generator = torch.Generator().manual_seed(seed)
    ours = MSDeformAttn(CHANNELS, len(SHAPES), HEADS, POINTS)
    for parameter in ours.parameters():
        parameter.data.normal_(std=0.3, generator=generator)
    config = DeformableDetrConfig(d_model=CHANNELS, num_feature_levels=len(SHAPES))
    theirs = DeformableDetrMultiscaleDeformableAttention(config, HEADS, POINTS)
    theirs.load_state_dict(ours.state_dict())
    return ours, theirs


@pytest.mark.filterwarnings("ignore:You'd better set embed_dim")
@pytest.mark.parametrize("coordinates", [2, 4])
@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize("queries", [7, 40])  # few: projects after sampling; many: before
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_layer_equals_transformers_with_its_gradients(
    coordinates: int, padded: bool, queries: int, dtype: torch.dtype
):
    ours, theirs = (layer.to(dtype) for layer in both_layers(seed=coordinates))
    query = torch.randn(2, queries, CHANNELS, dtype=dtype)
    tokens = torch.randn(2, TOKENS, CHANNELS, dtype=dtype)
    reference = torch.rand(2, queries, len(SHAPES), coordinates, dtype=dtype)
    mask = torch.rand(2, TOKENS) < 0.3 if padded else None
    direction = torch.randn(2, queries, CHANNELS, dtype=dtype)

    def results(call, layer: torch.nn.Module) -> list[Tensor]:
        leaves = [tensor.clone().requires_grad_() for tensor in (query, tokens, reference)]
        output, weights = call(*leaves)
        (output * direction).sum().backward()
        parameters = [parameter for _, parameter in sorted(layer.named_parameters())]
        gradients = [leaf.grad for leaf in (*leaves, *parameters) if leaf.grad is not None]
        assert len(gradients) == len(leaves) + len(parameters)
        return [output.detach(), weights.detach(), *gradients]

    def our_call(query: Tensor, tokens: Tensor, reference: Tensor) -> tuple[Tensor, Tensor]:
        output, record = ours(query, reference, tokens, SHAPES, mask)
        return output, record.weights

    def their_call(query: Tensor, tokens: Tensor, reference: Tensor) -> tuple[Tensor, Tensor]:
        return theirs(
            query,
            encoder_hidden_states=tokens,
            attention_mask=None if mask is None else ~mask,  # theirs is True where a token is valid
            reference_points=reference,
            spatial_shapes=torch.tensor(SHAPES),
            spatial_shapes_list=list(SHAPES),
        )

    atol, rtol = (2e-5, 1e-4) if dtype == torch.float32 else (1e-12, 1e-10)
    for found, expected in zip(results(our_call, ours), results(their_call, theirs), strict=True):
        assert_close(found, expected, atol=atol, rtol=rtol)


@pytest.mark.parametrize("moved", [False, True])
def test_nine_heads_with_one_point_each_are_a_deformable_convolution(moved: bool):
    """The paper's second limit: L = 1, K = 1, no value projection, nine heads around every pixel."""
    height, width, channels = 5, 7, 3
    picture, kernel = torch.randn(2, channels, height, width), torch.randn(4, channels, 3, 3)
    shift = torch.randn(2, 18, height, width) if moved else torch.zeros(2, 18, height, width)
    expected = deform_conv2d(picture, shift, kernel, padding=(1, 1))
    if not moved:
        assert_close(expected, F.conv2d(picture, kernel, padding=1), atol=1e-5, rtol=1e-5)

    value = picture.flatten(2).transpose(1, 2)[:, :, None].expand(-1, -1, 9, -1)
    grid = torch.tensor([(dx, dy) for dy in (-1, 0, 1) for dx in (-1, 0, 1)], dtype=torch.float32)  # M xy
    yx = shift.view(2, 9, 2, height * width).permute(0, 3, 1, 2)  # B Q M (y, x), torchvision's order
    offsets = (grid + yx.flip(-1))[:, :, :, None, None]
    centers = encoder_reference_points([(height, width)], torch.ones(2, 1, 2))
    locations = centers[:, :, None, :, None] + offsets / torch.tensor([width, height])
    read = ms_deform_attn(value, [(height, width)], locations, torch.ones(2, height * width, 9, 1, 1))
    mixed = read @ kernel.permute(2, 3, 1, 0).reshape(9 * channels, 4)  # the output projection is the kernel
    assert_close(mixed.transpose(1, 2).view(2, 4, height, width), expected, atol=1e-4, rtol=1e-4)
