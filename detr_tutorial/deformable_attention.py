"""Multi-scale deformable attention: three ways to the same numbers, and the layer around them.

Every query of every head reads K points on each of L levels, and adds up what it read there, weighted. The
definition is `loops`. `grid_sample` is the form of most implementations. `embedding_bag` sees that reading
between cells and weighting together are one sparse matrix times the table of values; on a CPU it is the fast
one.

Taught in notebooks/12_grid_sample_attention.ipynb; the start of training (the star of offsets) in
notebooks/11_sampling_offsets.ipynb.
"""

import math
from typing import Any, Literal, NamedTuple

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor, nn

from detr_tutorial._validation import (
    require_divisible,
    require_finite,
    require_int,
    require_spatial_shapes,
    require_tensor,
)
from detr_tutorial.reference_points import SpatialShapes, sampling_locations
from detr_tutorial.sparse_attention import SparseAttention

Implementation = Literal["auto", "loops", "grid_sample", "embedding_bag"]


class SamplingRecord(NamedTuple):
    """Where an attention looked and how much each point counted: what every plot and widget draws.

    Fields:
        locations: (B, Q, M, L, K, 2) as (x, y), 0 and 1 at the outer edges of each level's padded map.
        weights: (B, Q, M, L, K), at least 0, summing to 1 over (L, K) for every query and head.
    Taught in notebooks/11_sampling_offsets.ipynb.
    """

    locations: Float[Tensor, "B Q M L K 2"]
    weights: Float[Tensor, "B Q M L K"]


def ms_deform_attn(
    value: Float[Tensor, "B S M D"],
    spatial_shapes: SpatialShapes,
    sampling_locations: Float[Tensor, "B Q M L K 2"],
    attention_weights: Float[Tensor, "B Q M L K"],
    *,
    implementation: Implementation = "auto",
) -> Float[Tensor, "B Q C"]:
    """Read every sampling point between the cells of its level, and sum over levels and points, weighted.

    Args:
        value: (B, S, M, D), the tokens of all levels, finest level first, each level row by row.
        spatial_shapes: (height, width) of each of the L levels, in cells; S is the sum of their products.
        sampling_locations: (B, Q, M, L, K, 2) as (x, y), 0 and 1 at the outer edges of each level. Points may
            lie anywhere; cells outside a map count as zero.
        attention_weights: (B, Q, M, L, K), used as they are (no softmax here).
        implementation: "loops" (the formula, slow), "grid_sample", "embedding_bag" (CPU only), or "auto":
            "embedding_bag" on the CPU; "grid_sample" on other devices and inside `torch.compile`.
    Returns:
        (B, Q, C) with C = M D: the sums, head by head.
    Raises:
        TypeError: if an argument is not a floating-point tensor, or the sizes are not Python integers.
        ValueError: if shapes do not fit together, a number is NaN or infinite, or the implementation is
            unknown or does not run on the device.
    Source: Deformable DETR (arXiv 2010.04159), equation 3; the official `ms_deform_attn_core_pytorch` gives
        the same numbers; taught in notebooks/12_grid_sample_attention.ipynb.
    """
    shapes = require_spatial_shapes("spatial_shapes", spatial_shapes)
    require_tensor("value", value, "B S M D")
    batch, tokens, heads, _ = value.shape
    if tokens != (total := sum(height * width for height, width in shapes)):
        raise ValueError(f"value has {tokens} tokens (axis 1), but spatial_shapes {shapes} hold {total}")
    require_tensor("sampling_locations", sampling_locations, f"{batch} Q {heads} {len(shapes)} K 2")
    _, queries, _, levels, points, _ = sampling_locations.shape
    require_tensor("attention_weights", attention_weights, f"{batch} {queries} {heads} {levels} {points}")
    require_finite("sampling_locations", sampling_locations)
    require_finite("attention_weights", attention_weights)

    if implementation == "auto":
        fast = value.device.type == "cpu" and not torch.compiler.is_compiling()
        implementation = "embedding_bag" if fast else "grid_sample"
    if implementation == "loops":
        output = _loops(value, shapes, sampling_locations, attention_weights)
    elif implementation == "grid_sample":
        output = _grid_sample(value, shapes, sampling_locations, attention_weights)
    elif implementation == "embedding_bag":
        if value.device.type != "cpu":
            raise ValueError(f"implementation='embedding_bag' runs on the CPU, got value on {value.device}")
        output = SparseAttention.apply(value, shapes, sampling_locations, attention_weights)
    else:
        known = "'auto', 'loops', 'grid_sample' or 'embedding_bag'"
        raise ValueError(f"implementation must be {known}, got {implementation!r}")
    return require_finite("value, as read by the sampling points,", output)


# The formula ----------------------------------------------------------------------------------------------


def _loops(value: Tensor, shapes: SpatialShapes, locations: Tensor, weights: Tensor) -> Tensor:
    """Equation 3, one sampling point at a time."""
    batch, queries, heads, levels, points, _ = locations.shape
    maps = _level_maps(value, shapes, "B (H W) M D -> B M H W D")
    sums = []
    for b in range(batch):
        for q in range(queries):
            for m in range(heads):
                total = value.new_zeros(value.shape[-1])
                for level in range(levels):
                    for k in range(points):
                        sample = _bilinear(maps[level][b, m], locations[b, q, m, level, k])
                        total = total + weights[b, q, m, level, k] * sample
                sums.append(total)
    return rearrange(torch.stack(sums), "(B Q M) D -> B Q (M D)", B=batch, Q=queries)


def _bilinear(level_map: Tensor, point: Tensor) -> Tensor:
    """Read a map (H, W, D) at a normalized point (x, y); cells outside the map count as zero."""
    height, width, _ = level_map.shape
    x, y = point[0] * width - 0.5, point[1] * height - 0.5
    left, top = math.floor(x.item()), math.floor(y.item())
    total = level_map.new_zeros(level_map.shape[-1])
    for row, weight_y in ((top, top + 1 - y), (top + 1, y - top)):
        for column, weight_x in ((left, left + 1 - x), (left + 1, x - left)):
            if 0 <= row < height and 0 <= column < width:
                total = total + weight_y * weight_x * level_map[row, column]
    return total


def _level_maps(value: Tensor, shapes: SpatialShapes, pattern: str) -> list[Tensor]:
    """Cut the token axis into levels and give each its height and width back."""
    levels = value.split([height * width for height, width in shapes], dim=1)
    return [
        rearrange(level, pattern, H=height, W=width)
        for level, (height, width) in zip(levels, shapes, strict=True)
    ]


# One grid_sample a level ----------------------------------------------------------------------------------


def _grid_sample(value: Tensor, shapes: SpatialShapes, locations: Tensor, weights: Tensor) -> Tensor:
    """Sample level by level, and add up as we go: the samples of only one level are in memory at a time."""
    batch, _, heads, _ = value.shape
    grids = (2 * locations - 1).to(value.dtype)  # grid_sample counts from -1 to 1
    weights = weights.to(value.dtype)
    total: Any = 0.0
    for level, level_map in enumerate(_level_maps(value, shapes, "B (H W) M D -> (B M) D H W")):
        grid = rearrange(grids[:, :, :, level], "B Q M K xy -> (B M) Q K xy")
        samples = F.grid_sample(level_map, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
        total = total + (samples * rearrange(weights[:, :, :, level], "B Q M K -> (B M) 1 Q K")).sum(-1)
    return rearrange(total, "(B M) D Q -> B Q (M D)", B=batch, M=heads)


# The layer ------------------------------------------------------------------------------------------------


def star_offsets(num_heads: int, num_levels: int, num_points: int) -> Float[Tensor, "M L K 2"]:
    """Give the offsets at the start of training: every head looks along its own direction.

    Head m looks along the angle 2 pi m / M, measured from +x towards +y (down); its point k lies k + 1 cells
    away, counted along the longer of the two axes, so that eight heads reach the eight neighbors. All levels
    are alike.

    Args:
        num_heads: M, at least 1.
        num_levels: L, at least 1.
        num_points: K, at least 1.
    Returns:
        (M, L, K, 2) as (x, y), in cells of each level.
    Raises:
        TypeError: if an argument is not an integer.
        ValueError: if an argument is smaller than 1.
    Source: Deformable DETR (arXiv 2010.04159), appendix A.4, and the official
        `MSDeformAttn._reset_parameters`; taught in notebooks/11_sampling_offsets.ipynb.
    """
    for name, number in (("num_heads", num_heads), ("num_levels", num_levels), ("num_points", num_points)):
        require_int(name, number)
    angle = 2 * math.pi * torch.arange(num_heads) / num_heads
    direction = torch.stack([angle.cos(), angle.sin()], dim=-1)
    direction = direction / direction.abs().amax(
        -1, keepdim=True
    )  # from the circle out to the square around it
    reach = torch.arange(1, num_points + 1)
    star = rearrange(direction, "M xy -> M 1 1 xy") * rearrange(reach, "K -> K 1")
    return star.expand(-1, num_levels, -1, -1)


class MSDeformAttn(nn.Module):
    """Attend to a few points around each query's reference, on all levels at once.

    Four linear layers: two turn a query into offsets and weights, one turns tokens into values, one mixes the
    heads. They start as the official code starts them: offsets form a star, weights are all equal, both
    independent of the query (their matrices are zero, and learn from there).

    Args:
        d_model: C, channels of a token.
        num_levels: L, feature levels.
        num_heads: M, heads; must divide d_model.
        num_points: K, sampling points per head and level.
    Raises:
        TypeError: if an argument is not an integer.
        ValueError: if an argument is smaller than 1, or num_heads does not divide d_model.
    Source: Deformable DETR (arXiv 2010.04159), section 4.1, and the official `MSDeformAttn`;
        taught in notebooks/12_grid_sample_attention.ipynb.
    """

    def __init__(self, d_model: int = 256, num_levels: int = 4, num_heads: int = 8, num_points: int = 4):
        super().__init__()
        self.d_model = require_int("d_model", d_model)
        self.num_levels = require_int("num_levels", num_levels)
        self.num_heads = require_int("num_heads", num_heads)
        self.num_points = require_int("num_points", num_points)
        require_divisible("d_model", d_model, "num_heads", num_heads)
        self.head_dim = d_model // num_heads
        self.sampling_offsets = nn.Linear(d_model, num_heads * num_levels * num_points * 2)
        self.attention_weights = nn.Linear(d_model, num_heads * num_levels * num_points)
        self.value_proj = nn.Linear(d_model, d_model)
        self.output_proj = nn.Linear(d_model, d_model)
        self.reset_parameters()

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Set the official start: a star of offsets, equal weights, Xavier-uniform projections, zero biases.

        Source: the official `MSDeformAttn._reset_parameters`; taught in notebooks/11_sampling_offsets.ipynb.
        """
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
        """Attend from every query to the value tokens.

        Args:
            query: (B, Q, C), positions already added.
            reference_points: (B, Q, L, 2) as (x, y) or (B, Q, L, 4) as (cx, cy, w, h), in [0, 1] of each
                padded level.
            value_tokens: (B, S, C), without positions.
            spatial_shapes: (height, width) of each level, in cells; S is the sum of their products.
            mask: (B, S), True where a token is padding; its value then reads as zero.
        Returns:
            The output (B, Q, C), and the `SamplingRecord` of where it looked.
        Raises:
            TypeError: if a tensor has the wrong type.
            ValueError: if shapes do not fit together, or a number is NaN or infinite.
        Source: the official `MSDeformAttn.forward`; taught in notebooks/12_grid_sample_attention.ipynb.
        """
        shapes = require_spatial_shapes("spatial_shapes", spatial_shapes)
        if len(shapes) != self.num_levels:
            raise ValueError(
                f"spatial_shapes has {len(shapes)} levels, this layer has num_levels={self.num_levels}"
            )
        require_tensor("query", query, f"B Q {self.d_model}")
        batch, queries, _ = query.shape
        require_tensor("value_tokens", value_tokens, f"{batch} S {self.d_model}")
        require_tensor("reference_points", reference_points, f"{batch} {queries} {self.num_levels} xy")
        require_finite("query", query)
        require_finite("reference_points", reference_points)

        if mask is not None:
            require_tensor("mask", mask, f"{batch} {value_tokens.shape[1]}", kind="bool")

        sizes = {"M": self.num_heads, "L": self.num_levels, "K": self.num_points}
        offsets = rearrange(self.sampling_offsets(query), "B Q (M L K xy) -> B Q M L K xy", **sizes, xy=2)
        logits = rearrange(self.attention_weights(query), "B Q (M L K) -> B Q M (L K)", **sizes)
        weights = rearrange(logits.softmax(-1), "B Q M (L K) -> B Q M L K", L=self.num_levels)
        locations = sampling_locations(reference_points, offsets, shapes)

        # Projecting and sampling are both linear, so their order is free: take the cheaper (section 4.1).
        cells_read = 4 * self.num_levels * self.num_points
        project_first = value_tokens.shape[1] * self.d_model <= queries * self.num_heads * (
            cells_read + self.head_dim
        )
        read = self._project_then_sample if project_first else self._sample_then_project
        output = self.output_proj(read(value_tokens, mask, shapes, locations, weights))
        return output, SamplingRecord(locations, weights)

    def _project_then_sample(
        self, tokens: Tensor, mask: Tensor | None, shapes: SpatialShapes, locations: Tensor, weights: Tensor
    ) -> Tensor:
        value = self.value_proj(tokens)
        if mask is not None:
            value = value.masked_fill(mask[..., None], 0.0)  # after the projection: its bias must not leak in
        value = rearrange(value, "B S (M D) -> B S M D", M=self.num_heads)
        return ms_deform_attn(value, shapes, locations, weights)

    def _sample_then_project(
        self, tokens: Tensor, mask: Tensor | None, shapes: SpatialShapes, locations: Tensor, weights: Tensor
    ) -> Tensor:
        """The same numbers in the other order: few queries read little, and only that is projected."""
        valid = tokens.new_ones(tokens.shape[:2])
        if mask is not None:
            tokens, valid = tokens.masked_fill(mask[..., None], 0.0), valid.masked_fill(mask, 0.0)
        # All heads read the same tokens: to the core they are more queries of one head.
        locations = rearrange(locations, "B Q M L K xy -> B (Q M) 1 L K xy")
        weights = rearrange(weights, "B Q M L K -> B (Q M) 1 L K")
        read = ms_deform_attn(rearrange(tokens, "B S C -> B S 1 C"), shapes, locations, weights)
        read_weight = ms_deform_attn(rearrange(valid, "B S -> B S 1 1"), shapes, locations, weights)
        matrix = rearrange(self.value_proj.weight, "(M D) C -> M D C", M=self.num_heads)
        bias = rearrange(self.value_proj.bias, "(M D) -> M D", M=self.num_heads)
        read, read_weight = (
            rearrange(x, "B (Q M) C -> B Q M C", M=self.num_heads) for x in (read, read_weight)
        )
        projected = torch.einsum("bqmc,mdc->bqmd", read, matrix) + read_weight * bias
        return rearrange(projected, "B Q M D -> B Q (M D)")
