"""Feature maps of all levels as one list of tokens.

Every map is projected to the same number of channels, further coarse levels are added, and all cells of all
levels are laid out one after the other, row by row, finest level first. Taught in
notebooks/08_feature_flattening.ipynb and notebooks/09_level_embeddings.ipynb.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor, nn

from detr_tutorial._validation import (
    require_divisible,
    require_finite,
    require_int,
    require_list,
    require_spatial_shapes,
    require_tensor,
)
from detr_tutorial.padding import valid_ratios

NUM_GROUPS = 32


class FlattenedFeatures(NamedTuple):
    """All cells of all levels, finest level first, each level row by row."""

    tokens: Float[Tensor, "B S C"]
    positions: Float[Tensor, "B S C"]  # position encoding + level embedding
    mask: Bool[Tensor, "B S"]  # True is padding
    spatial_shapes: tuple[tuple[int, int], ...]  # (H_l, W_l)
    valid_ratios: Float[Tensor, "B L 2"]  # (x, y)


class FeatureProjection(nn.Module):
    """Give all maps the same number of channels, and add coarser levels.

    A backbone map passes a 1x1 convolution and a group norm. The first extra level is a 3x3 convolution with
    stride 2 on the raw last map of the backbone (not on its projection); a further one is the same on the
    extra level before it. The group norm sees the padding: its statistics depend on the other images of the
    batch.

    Args:
        in_channels: channels of the backbone's maps, finest first.
        d_model: channels C of every level; divisible by 32, the number of groups.
        num_levels: levels L, at least as many as backbone maps.
    Raises:
        TypeError, ValueError: if an argument is not a positive int, `d_model` is not divisible by 32, or
            `num_levels` is smaller than the number of maps.
    Source: Deformable DETR (arXiv 2010.04159), appendix A.2, `DeformableDETR.input_proj`; taught in
    notebooks/08_feature_flattening.ipynb.
    """

    def __init__(self, in_channels: Sequence[int], d_model: int, num_levels: int) -> None:
        super().__init__()
        self.in_channels = tuple(require_list("in_channels", in_channels, "ints"))
        for level, channels in enumerate(self.in_channels):
            require_int(f"in_channels[{level}]", channels)
        require_divisible("d_model", require_int("d_model", d_model), "groups of the group norm", NUM_GROUPS)
        if require_int("num_levels", num_levels) < len(self.in_channels):
            raise ValueError(
                f"num_levels={num_levels} is smaller than the {len(self.in_channels)} maps of in_channels"
            )
        convolutions = [nn.Conv2d(channels, d_model, kernel_size=1) for channels in self.in_channels]
        extra_inputs = [self.in_channels[-1]] + [d_model] * num_levels
        for channels in extra_inputs[: num_levels - len(self.in_channels)]:
            convolutions.append(nn.Conv2d(channels, d_model, kernel_size=3, stride=2, padding=1))
        for convolution in convolutions:
            nn.init.xavier_uniform_(convolution.weight, gain=1)
            assert convolution.bias is not None
            nn.init.zeros_(convolution.bias)
        self.projections = nn.ModuleList(
            nn.Sequential(convolution, nn.GroupNorm(NUM_GROUPS, d_model)) for convolution in convolutions
        )

    def forward(self, features: Sequence[Float[Tensor, "B _ _ _"]]) -> list[Float[Tensor, "B C _ _"]]:
        """Project the maps of the backbone and compute the extra levels.

        Args:
            features: one (B, in_channels[l], H_l, W_l) map a backbone level, finest first.
        Returns:
            L maps of d_model channels, finest first.
        Raises:
            TypeError, ValueError: if `features` does not fit `in_channels`.
        """
        features = require_list("features", features, "(B, C, H, W) tensors")
        if len(features) != len(self.in_channels):
            raise ValueError(f"features must hold {len(self.in_channels)} maps, got {len(features)}")
        for level, (feature, channels) in enumerate(zip(features, self.in_channels, strict=True)):
            require_tensor(f"features[{level}]", feature, f"B {channels} H W")
            if feature.shape[0] != features[0].shape[0]:
                raise ValueError(
                    f"features must share the batch size: features[0] has {features[0].shape[0]}, "
                    f"features[{level}] has {feature.shape[0]}"
                )
        num_maps = len(self.in_channels)
        projected = [project(feature) for project, feature in zip(self.projections, features, strict=False)]
        coarsest = features[-1]  # raw, not projected
        for project in self.projections[num_maps:]:
            coarsest = project(coarsest)
            projected.append(coarsest)
        return projected


def flatten_levels(
    features: Sequence[Float[Tensor, "B C _ _"]],
    positions: Sequence[Float[Tensor, "B C _ _"]],
    masks: Sequence[Bool[Tensor, "B _ _"]],
    level_embedding: Float[Tensor, "L C"],
) -> FlattenedFeatures:
    """Lay out the cells of all levels one after the other, and tell the levels apart.

    Args:
        features: one (B, C, H_l, W_l) map a level, finest first.
        positions: the position encoding of each, of the same shape.
        masks: the padding mask of each, (B, H_l, W_l), True where it is padding.
        level_embedding: one vector a level; it is added to the positions, not to the tokens.
    Returns:
        Tokens, positions and mask in row-major order, S = sum of H_l * W_l, with the (height, width) of each
        level and the valid ratios.
    Raises:
        TypeError, ValueError: if the levels do not match in number or shape, the masks are not right and
            bottom padding, or the level embedding holds NaN or infinity.
    Source: Deformable DETR (arXiv 2010.04159), `DeformableTransformer.forward`; taught in
    notebooks/08_feature_flattening.ipynb and notebooks/09_level_embeddings.ipynb.
    """
    features = require_list("features", features, "(B, C, H, W) tensors")
    positions = require_list("positions", positions, "(B, C, H, W) tensors")
    masks = require_list("masks", masks, "(B, H, W) tensors")
    require_tensor("level_embedding", level_embedding, "L C")
    counts = {
        "features": len(features),
        "positions": len(positions),
        "masks": len(masks),
        "level_embedding": len(level_embedding),
    }
    if len(set(counts.values())) > 1:
        raise ValueError(f"all arguments must hold the same number of levels, got {counts}")
    for level, (feature, position, mask) in enumerate(zip(features, positions, masks, strict=True)):
        require_tensor(f"features[{level}]", feature, "B C H W")
        require_tensor(f"positions[{level}]", position, "B C H W")
        require_tensor(f"masks[{level}]", mask, "B H W", "bool")
        expected = (features[0].shape[0], level_embedding.shape[1], *feature.shape[2:])
        if feature.shape != expected:
            raise ValueError(f"features[{level}] must have shape {expected}, got {tuple(feature.shape)}")
        if position.shape != expected:
            raise ValueError(f"positions[{level}] must have shape {expected}, got {tuple(position.shape)}")
        if mask.shape != (expected[0], *expected[2:]):
            raise ValueError(
                f"masks[{level}] must have shape {(expected[0], *expected[2:])}, got {tuple(mask.shape)}"
            )
    require_finite("level_embedding", level_embedding)
    with_level = [
        position + rearrange(vector, "C -> C 1 1")
        for position, vector in zip(positions, level_embedding, strict=True)
    ]
    return FlattenedFeatures(
        tokens=torch.cat([rearrange(feature, "B C H W -> B (H W) C") for feature in features], dim=1),
        positions=torch.cat([rearrange(position, "B C H W -> B (H W) C") for position in with_level], dim=1),
        mask=torch.cat([rearrange(mask, "B H W -> B (H W)") for mask in masks], dim=1),
        spatial_shapes=tuple((feature.shape[2], feature.shape[3]) for feature in features),
        valid_ratios=valid_ratios(masks, torch.promote_types(features[0].dtype, torch.float32)),
    )


def unflatten_levels(
    tokens: Float[Tensor, "B S C"], spatial_shapes: Sequence[tuple[int, int]]
) -> list[Float[Tensor, "B C _ _"]]:
    """Cut a list of tokens back into one map a level: the inverse of `flatten_levels`.

    Args:
        tokens: all cells of all levels, finest level first, each level row by row.
        spatial_shapes: (height, width) of each level, Python ints.
    Returns:
        One (B, C, H_l, W_l) map a level.
    Raises:
        TypeError, ValueError: if the shapes are not pairs of ints, or do not add up to S.
    Source: ours; taught in notebooks/08_feature_flattening.ipynb.
    """
    require_tensor("tokens", tokens, "B S C")
    shapes = require_spatial_shapes("spatial_shapes", spatial_shapes)
    sizes = [height * width for height, width in shapes]
    if sum(sizes) != tokens.shape[1]:
        raise ValueError(f"spatial_shapes add up to {sum(sizes)} cells, got {tokens.shape[1]} tokens")
    return [
        rearrange(level, "B (H W) C -> B C H W", H=height, W=width)
        for level, (height, width) in zip(tokens.split(sizes, dim=1), shapes, strict=True)
    ]
