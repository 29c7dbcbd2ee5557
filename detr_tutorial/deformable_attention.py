"""Multi-scale deformable attention: three ways to the same numbers, and the layer around them.

Each query of each head reads K points on each of L levels, and adds up what it read there, weighted. The
definition is `loops`. `grid_sample` is the form of most implementations. `embedding_bag` sees that reading
between cells and weighting are one sparse matrix times the table of values, and is the fast one.

Taught in notebooks/12_grid_sample_attention.ipynb (the layer's weights in notebooks/11_sampling_offsets.ipynb).
"""

import math
from collections.abc import Sequence
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor, nn

from detr_tutorial._validation import require_spatial_shapes
from detr_tutorial.reference_points import sampling_locations

SpatialShapes = Sequence[tuple[int, int]]
Implementation = Literal["auto", "loops", "grid_sample", "embedding_bag"]


class SamplingRecord(NamedTuple):
    """Where an attention looked and how much each point counted: what every plot and widget draws.

    Fields:
        locations: (B, Q, M, L, K, 2) as (x, y), 0 and 1 at the outer edges of each level.
        weights: (B, Q, M, L, K), summing to 1 over (L, K) for every query and head.
    """

    locations: Tensor
    weights: Tensor


def ms_deform_attn(
    value: Float[Tensor, "B S M D"],
    spatial_shapes: SpatialShapes,
    sampling_locations: Float[Tensor, "B Q M L K 2"],
    attention_weights: Float[Tensor, "B Q M L K"],
    *,
    implementation: Implementation = "auto",
) -> Float[Tensor, "B Q (M*D)"]:
    """Read every sampling point from the value maps and sum what was read, weighted."""
    shapes = require_spatial_shapes("spatial_shapes", spatial_shapes)
    if implementation == "loops":
        return _loops(value, shapes, sampling_locations, attention_weights)
    return _grid_sample(value, shapes, sampling_locations, attention_weights)


def _loops(value: Tensor, shapes: SpatialShapes, locations: Tensor, weights: Tensor) -> Tensor:
    """The formula, one sampling point at a time."""
    batch, queries, heads, levels, points, _ = locations.shape
    maps = [
        rearrange(level, "B (H W) M D -> B M H W D", H=height, W=width)
        for level, (height, width) in zip(
            value.split([height * width for height, width in shapes], dim=1), shapes, strict=True
        )
    ]
    rows = []
    for b in range(batch):
        for q in range(queries):
            for m in range(heads):
                total = value.new_zeros(value.shape[-1])
                for level in range(levels):
                    for k in range(points):
                        sample = _bilinear(maps[level][b, m], locations[b, q, m, level, k])
                        total = total + weights[b, q, m, level, k] * sample
                rows.append(total)
    return rearrange(torch.stack(rows), "(B Q M) D -> B Q (M D)", B=batch, Q=queries)


def _bilinear(level_map: Tensor, point: Tensor) -> Tensor:
    """Read a map (H, W, D) between its cells; cells outside count as zero."""
    height, width, _ = level_map.shape
    x, y = point[0] * width - 0.5, point[1] * height - 0.5
    left, top = math.floor(x.item()), math.floor(y.item())
    total = level_map.new_zeros(level_map.shape[-1])
    for column in (left, left + 1):
        for row in (top, top + 1):
            if 0 <= column < width and 0 <= row < height:
                total = total + (1 - (x - column).abs()) * (1 - (y - row).abs()) * level_map[row, column]
    return total


def _grid_sample(value: Tensor, shapes: SpatialShapes, locations: Tensor, weights: Tensor) -> Tensor:
    """One call of `grid_sample` for each level, added up level by level."""
    batch, _, heads, _ = value.shape
    total = None
    for level, (height, width) in enumerate(shapes):
        start = sum(h * w for h, w in shapes[:level])
        level_map = rearrange(
            value[:, start : start + height * width], "B (H W) M D -> (B M) D H W", H=height, W=width
        )
        grid = rearrange(2 * locations[:, :, :, level] - 1, "B Q M K xy -> (B M) Q K xy")
        sampled = F.grid_sample(level_map, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
        weighted = (sampled * rearrange(weights[:, :, :, level], "B Q M K -> (B M) 1 Q K")).sum(-1)
        total = weighted if total is None else total + weighted
    return rearrange(total, "(B M) D Q -> B Q (M D)", B=batch, M=heads)


class MSDeformAttn(nn.Module):
    """Multi-scale deformable attention with its four linear layers and the official initialization."""

    def __init__(self, d_model: int = 256, num_levels: int = 4, num_heads: int = 8, num_points: int = 4):
        super().__init__()
        if d_model % num_heads:
            raise ValueError(f"d_model={d_model} is not divisible by num_heads={num_heads}")
        self.d_model, self.num_levels, self.num_heads, self.num_points = (
            d_model,
            num_levels,
            num_heads,
            num_points,
        )
        self.sampling_offsets = nn.Linear(d_model, num_heads * num_levels * num_points * 2)
        self.attention_weights = nn.Linear(d_model, num_heads * num_levels * num_points)
        self.value_proj = nn.Linear(d_model, d_model)
        self.output_proj = nn.Linear(d_model, d_model)
        self.reset_parameters()

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Set the official start: a star of offsets, equal weights, Xavier projections."""
        nn.init.zeros_(self.sampling_offsets.weight)
        self.sampling_offsets.bias.copy_(
            star_offsets(self.num_heads, self.num_levels, self.num_points).flatten()
        )
        nn.init.zeros_(self.attention_weights.weight)
        nn.init.zeros_(self.attention_weights.bias)
        for projection in (self.value_proj, self.output_proj):
            nn.init.xavier_uniform_(projection.weight)
            nn.init.zeros_(projection.bias)

    def forward(
        self,
        query: Float[Tensor, "B Q C"],
        reference_points: Float[Tensor, "B Q L refs"],
        value_tokens: Float[Tensor, "B S C"],
        spatial_shapes: SpatialShapes,
        mask: Bool[Tensor, "B S"] | None = None,
    ) -> tuple[Float[Tensor, "B Q C"], SamplingRecord]:
        """Attend."""
        value = self.value_proj(value_tokens)
        if mask is not None:
            value = value.masked_fill(mask[..., None], 0.0)
        value = rearrange(value, "B S (M D) -> B S M D", M=self.num_heads)
        sizes = {"M": self.num_heads, "L": self.num_levels, "K": self.num_points}
        offsets = rearrange(self.sampling_offsets(query), "B Q (M L K xy) -> B Q M L K xy", **sizes, xy=2)
        logits = rearrange(self.attention_weights(query), "B Q (M L K) -> B Q M (L K)", **sizes)
        weights = rearrange(logits.softmax(-1), "B Q M (L K) -> B Q M L K", L=self.num_levels)
        locations = sampling_locations(reference_points, offsets, spatial_shapes)
        output = self.output_proj(ms_deform_attn(value, spatial_shapes, locations, weights))
        return output, SamplingRecord(locations, weights)


def star_offsets(num_heads: int, num_levels: int, num_points: int) -> Float[Tensor, "M L K 2"]:
    """Offsets at the start of training: head m looks along direction 2 pi m / M, point k at k + 1 cells."""
    angle = 2 * math.pi * torch.arange(num_heads) / num_heads
    direction = torch.stack([angle.cos(), angle.sin()], dim=-1)
    direction = direction / direction.abs().amax(-1, keepdim=True)  # onto the unit square
    reach = torch.arange(1, num_points + 1)
    return rearrange(direction, "M xy -> M 1 1 xy") * rearrange(reach, "K -> K 1").expand(num_levels, -1, 1)
