"""Where attention looks from: reference points, and the sampling points around them.

A point is (x, y) with 0 and 1 at the outer edges of the picture, so the center of cell i of a level that
is W cells wide lies at (i + 0.5) / W. The same point means the same place on every level, which is what
lets one query sample all levels at once.

Taught in notebooks/10_reference_points.ipynb (references) and notebooks/11_sampling_offsets.ipynb (offsets).
"""

from collections.abc import Sequence

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor

from detr_tutorial._validation import require_references, require_size, require_spatial_shapes, require_tensor

SpatialShapes = Sequence[tuple[int, int]]


def to_pixels(points: Float[Tensor, "*n 2"], size: tuple[int, int]) -> Float[Tensor, "*n 2"]:
    """Turn normalized points into pixel coordinates of a map, where integers are cell centers.

    Args:
        points: (..., 2) as (x, y), 0 and 1 at the outer edges of the map.
        size: (height, width) of the map, in cells.
    Returns:
        (..., 2) as (x, y) in cells; 0 is the center of the first cell, width - 1 that of the last.
    Raises:
        TypeError: if `points` is not floating point.
        ValueError: if the last axis of `points` is not 2, or a side of `size` is smaller than 1.
    Source: the function phi of Deformable DETR (arXiv 2010.04159, section 4.1) with align_corners=False;
        taught in notebooks/10_reference_points.ipynb.
    """
    require_tensor("points", points, "... 2")
    return points * _width_height(points, size) - 0.5


def to_normalized(pixels: Float[Tensor, "*n 2"], size: tuple[int, int]) -> Float[Tensor, "*n 2"]:
    """Turn pixel coordinates of a map into normalized points, the inverse of `to_pixels`.

    Args:
        pixels: (..., 2) as (x, y) in cells, integers at cell centers.
        size: (height, width) of the map, in cells.
    Returns:
        (..., 2) as (x, y), 0 and 1 at the outer edges of the map.
    Raises:
        TypeError: if `pixels` is not floating point.
        ValueError: if the last axis of `pixels` is not 2, or a side of `size` is smaller than 1.
    Source: Deformable DETR (arXiv 2010.04159), section 4.1; taught in notebooks/10_reference_points.ipynb.
    """
    require_tensor("pixels", pixels, "... 2")
    return (pixels + 0.5) / _width_height(pixels, size)


def _width_height(points: Tensor, size: tuple[int, int]) -> Tensor:
    height, width = require_size("size", size)
    return points.new_tensor([width, height])


def encoder_reference_points(
    spatial_shapes: SpatialShapes, valid_ratios: Float[Tensor, "B L 2"]
) -> Float[Tensor, "B S L 2"]:
    """Place one reference point at the center of every cell, and express it on every level.

    A cell center is first measured in its own level's valid part (0 to 1 over the picture without its
    padding), then in each target level's full width, because sampling works on padded maps.

    Args:
        spatial_shapes: (height, width) of each of the L levels, in cells, finest first.
        valid_ratios: (B, L, 2) as (x, y): valid width and height of each level over the padded ones, in (0,
            1].
    Returns:
        (B, S, L, 2): for every token (level by level, row by row) its point (x, y) on each level.
    Raises:
        TypeError: if `valid_ratios` is not floating point.
        ValueError: if the number of levels differs, a size is smaller than 1, or a ratio is outside (0, 1].
    Source: Deformable DETR (arXiv 2010.04159), appendix A.2, and the official `get_reference_points`;
        taught in notebooks/10_reference_points.ipynb.
    """
    shapes = require_spatial_shapes("spatial_shapes", spatial_shapes)
    require_tensor("valid_ratios", valid_ratios, f"B {len(shapes)} 2")
    return cell_centers(shapes, valid_ratios)[:, :, None] * valid_ratios[:, None]


def cell_centers(
    spatial_shapes: SpatialShapes, valid_ratios: Float[Tensor, "B L 2"]
) -> Float[Tensor, "B S 2"]:
    """Say where the center of every cell lies in the picture.

    Args:
        spatial_shapes: (height, width) of each of the L levels, in cells, finest first.
        valid_ratios: (B, L, 2) as (x, y), in (0, 1].
    Returns:
        (B, S, 2) as (x, y): 0 and 1 at the edges of the picture without its padding; above 1 in the padding.
    Raises:
        TypeError: if `valid_ratios` is not floating point.
        ValueError: if the number of levels differs, a size is smaller than 1, or a ratio is outside (0, 1].
    Source: the first half of the official `get_reference_points`; taught in
        notebooks/10_reference_points.ipynb.
    """
    shapes = require_spatial_shapes("spatial_shapes", spatial_shapes)
    require_tensor("valid_ratios", valid_ratios, f"B {len(shapes)} 2")
    if not torch.compiler.is_compiling() and not bool(((valid_ratios > 0) & (valid_ratios <= 1)).all()):
        raise ValueError("valid_ratios must lie in (0, 1], got values outside it (or NaN)")

    like = {"dtype": valid_ratios.dtype, "device": valid_ratios.device}
    own_level = []  # each token in the valid part of the level it comes from
    for level, (height, width) in enumerate(shapes):
        y, x = torch.meshgrid(torch.arange(height, **like), torch.arange(width, **like), indexing="ij")
        centers = to_normalized(torch.stack([x, y], dim=-1), (height, width))  # H W 2, (x, y)
        own_level.append(rearrange(centers, "H W xy -> 1 (H W) xy") / valid_ratios[:, None, level])
    return torch.cat(own_level, dim=1)


def sampling_locations(
    reference_points: Float[Tensor, "B Q L refs"],
    sampling_offsets: Float[Tensor, "B Q M L K 2"],
    spatial_shapes: SpatialShapes,
) -> Float[Tensor, "B Q M L K 2"]:
    """Add offsets to reference points.

    Around a point (x, y) an offset counts cells of its level, so it is divided by (W_l, H_l). Around a box
    (cx, cy, w, h) it counts box sizes: an offset of K reaches the edge of the box.

    Args:
        reference_points: (B, Q, L, 2) as (x, y) or (B, Q, L, 4) as (cx, cy, w, h), in [0, 1] over the padded
            map.
        sampling_offsets: (B, Q, M, L, K, 2) as (x, y).
        spatial_shapes: (height, width) of each of the L levels, in cells.
    Returns:
        (B, Q, M, L, K, 2) as (x, y), 0 and 1 at the outer edges of each level; points may lie outside.
    Raises:
        TypeError: if a tensor is not floating point.
        ValueError: if the shapes do not fit together or a size is smaller than 1.
    Source: Deformable DETR (arXiv 2010.04159), equation 3 and appendix A.4, and the official
        `MSDeformAttn.forward` (whose factor 0.5 / K for boxes the paper states only for the initial bias);
        taught in notebooks/11_sampling_offsets.ipynb.
    """
    shapes = require_spatial_shapes("spatial_shapes", spatial_shapes)
    require_tensor("sampling_offsets", sampling_offsets, f"B Q M {len(shapes)} K 2")
    batch, queries, _, levels, points, _ = sampling_offsets.shape
    require_tensor("reference_points", reference_points, f"{batch} {queries} {levels} xy")
    require_references("reference_points", reference_points)

    reference = rearrange(reference_points, "B Q L refs -> B Q 1 L 1 refs")
    if reference_points.shape[-1] == 2:
        width_height = reference_points.new_tensor([(width, height) for height, width in shapes])
        step = rearrange(width_height.reciprocal(), "L xy -> L 1 xy")
    else:
        step = reference[..., 2:] * (0.5 / points)
    return torch.addcmul(reference[..., :2], sampling_offsets, step)
