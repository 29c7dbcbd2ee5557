"""Deformable attention as one sparse matrix times the table of values, and the same backward.

A row of the matrix is one head of one query. It holds 4 L K numbers other than zero: for each sampling point,
the four neighboring cells, each with (attention weight) x (bilinear weight). The table it multiplies has a
row of D numbers for every head of every token. The matrix is made in chunks that stay in the processor's
cache, so that forward neither it nor the samples are ever in memory as a whole.

Taught, without the chunks, in notebooks/12_grid_sample_attention.ipynb.
"""

import warnings
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from einops import rearrange
from scipy.sparse import csr_matrix
from torch import Tensor
from torch.autograd.function import once_differentiable

_CHUNK = 512  # queries at a time


class _Geometry(NamedTuple):
    """What depends only on the level of a point, for each of the P = L K points, ready to broadcast."""

    size: Tensor  # (2 [x, y], 1, 1, P) width and height
    last_near: Tensor  # (2, 1, 1, P) the last cell that has a far neighbor
    to_far: Tensor  # (2, 2 [near, far], 1, 1, P) steps from the near cell; out of reach in a map of one cell
    first_row: Tensor  # (M, P) row of the table where the level begins
    corner_rows: Tensor  # (2 [y], 2 [x], 1, 1, P) rows of the table from the near corner to each of the four


class _Chunk(NamedTuple):
    """The part of the matrix that belongs to n queries. Along each axis, a point lies between two cells."""

    queries: slice
    columns: Tensor  # (2 [y], 2 [x], n, M, P) int: rows of the table
    entries: Tensor  # (2, 2, n, M, P) attention weight x bilinear weight
    hats: Tensor  # (2 [x, y], 2 [near, far], n, M, P) bilinear weight along one axis
    distance: Tensor  # (2, 2, n, M, P) from the cell to the point, in cells


class SparseAttention(torch.autograd.Function):
    """`SparseAttention.apply(value, spatial_shapes, sampling_locations, attention_weights)`, on the CPU.

    Forward: matrix times table. Backward: the transposed matrix times the gradient, for the values; and one
    dot product for every entry of the matrix, for locations and weights.
    """

    @staticmethod
    def forward(
        ctx: Any, value: Tensor, shapes: Sequence[tuple[int, int]], locations: Tensor, weights: Tensor
    ) -> Tensor:
        ctx.shapes = shapes
        ctx.save_for_backward(value, locations, weights)
        batch, queries, heads = locations.shape[:3]
        exact_value, locations, weights = _at_least_float32(value, locations, weights)
        table = rearrange(exact_value, "B S M D -> (B S M) D")
        output = table.new_empty(batch * queries, heads, table.shape[1])
        for chunk in _chunks(exact_value, shapes, locations, weights):
            columns, entries = (
                rearrange(x, "y x n M P -> (y x n M) P") for x in (chunk.columns, chunk.entries)
            )
            corners = F.embedding_bag(columns, table, mode="sum", per_sample_weights=entries)
            corners = rearrange(corners, "(corner n M) D -> corner n M D", corner=4, M=heads)
            torch.sum(corners, dim=0, out=output[chunk.queries])
        return rearrange(output, "(B Q) M D -> B Q (M D)", B=batch).to(value.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_output: Tensor) -> tuple[Tensor, None, Tensor, Tensor]:
        value, locations, weights, grad_output = _at_least_float32(*ctx.saved_tensors, grad_output)
        heads = value.shape[2]
        table = rearrange(value, "B S M D -> (B S M) D")
        rows = rearrange(grad_output, "B Q (M D) -> (B Q M) D", M=heads).contiguous()
        flat_weights = rearrange(weights, "B Q M L K -> (B Q) M (L K)")
        row_length = 4 * flat_weights.shape[2]
        columns = torch.empty(len(rows), row_length, dtype=_index_dtype(value))
        entries = table.new_empty(len(rows), row_length)
        grad_weights = torch.empty_like(flat_weights)
        grad_pixels = flat_weights.new_empty(2, *flat_weights.shape)

        for chunk in _chunks(value, ctx.shapes, locations, weights):
            part = slice(chunk.queries.start * heads, chunk.queries.stop * heads)
            columns[part] = rearrange(chunk.columns, "y x n M P -> (n M) (y x P)")
            entries[part] = rearrange(chunk.entries, "y x n M P -> (n M) (y x P)")
            grad_corners = _dot_products(chunk.columns, rows[part], table).transpose(0, 1)  # x y n M P
            (hat_x, hat_y), (slope_x, slope_y) = chunk.hats, _hat_slopes(chunk.distance)
            read_along_x = _near_plus_far(grad_corners, hat_x)  # y n M P
            grad_weights[chunk.queries] = _near_plus_far(read_along_x, hat_y)
            grad_pixels[1, chunk.queries] = _near_plus_far(read_along_x, slope_y)
            grad_pixels[0, chunk.queries] = _near_plus_far(_near_plus_far(grad_corners, slope_x), hat_y)

        size = _geometry(ctx.shapes, heads, locations.shape[4], value).size
        grad_locations = grad_pixels * flat_weights * size  # a location counts in maps, a pixel in cells
        axes = {"B": len(value), "L": len(ctx.shapes)}
        grads = (
            _transposed_product(columns, entries, rows, table).view_as(value),
            rearrange(grad_locations, "xy (B Q) M (L K) -> B Q M L K xy", **axes),
            rearrange(grad_weights, "(B Q) M (L K) -> B Q M L K", **axes),
        )
        grads = [grad.to(saved.dtype) for grad, saved in zip(grads, ctx.saved_tensors, strict=True)]
        return grads[0], None, grads[1], grads[2]


def _chunks(
    value: Tensor, shapes: Sequence[tuple[int, int]], locations: Tensor, weights: Tensor
) -> Iterator[_Chunk]:
    """Make the sparse matrix, some queries at a time."""
    batch, tokens, heads, _ = value.shape
    geometry = _geometry(shapes, heads, locations.shape[4], value)
    image_rows = torch.arange(batch, dtype=_index_dtype(value)) * (tokens * heads)
    image_rows = rearrange(image_rows.repeat_interleave(locations.shape[1]), "n -> n 1 1")
    locations = rearrange(locations, "B Q M L K xy -> xy (B Q) M (L K)")
    weights = rearrange(weights, "B Q M L K -> (B Q) M (L K)")
    half = value.new_tensor(0.5)

    for start in range(0, len(weights), _CHUNK):
        part = slice(start, min(start + _CHUNK, len(weights)))
        pixels = torch.empty_like(locations[:, part], memory_format=torch.contiguous_format)
        torch.addcmul(-half, locations[:, part], geometry.size, out=pixels)
        near = torch.clamp(pixels.floor(), 0 * half, geometry.last_near)
        cell = torch.addcmul(near[0], near[1], geometry.size[0]).to(
            image_rows.dtype
        )  # row-major in its level
        row = torch.add(geometry.first_row, cell, alpha=heads).add_(image_rows[part])
        # A hat is 1 at the center of its cell and 0 one cell away. Where a point lies outside the map, the
        # two cells are not its neighbors, and drop out by themselves.
        distance = pixels.sub_(near)[:, None] - geometry.to_far
        hats = distance.abs().neg_().add_(1).clamp_min_(0)
        entries = (hats[1] * weights[part])[:, None] * hats[0]
        yield _Chunk(part, row + geometry.corner_rows, entries, hats, distance)


def _geometry(shapes: Sequence[tuple[int, int]], heads: int, points: int, value: Tensor) -> _Geometry:
    index = _index_dtype(value)
    sizes = torch.tensor([(width, height) for height, width in shapes]).repeat_interleave(points, dim=0)
    width, height = sizes.unbind(-1)  # each (P,)
    first_cell = torch.tensor([0, *(h * w for h, w in shapes[:-1])]).cumsum(0).repeat_interleave(points)
    right, below = (
        (width > 1).long(),
        (height > 1) * width,
    )  # cells to the far neighbor; 0 where there is none
    corner_cells = torch.stack([torch.stack([0 * right, right]), torch.stack([below, below + right])])
    to_far = torch.where(sizes > 1, 1, 2**20)
    return _Geometry(
        size=rearrange(sizes.to(value.dtype), "P xy -> xy 1 1 P"),
        last_near=rearrange((sizes - 2).clamp_min(0).to(value.dtype), "P xy -> xy 1 1 P"),
        to_far=rearrange(
            torch.stack([0 * to_far, to_far]).to(value.dtype), "near_far P xy -> xy near_far 1 1 P"
        ),
        first_row=(first_cell * heads + torch.arange(heads)[:, None]).to(index),
        corner_rows=rearrange((corner_cells * heads).to(index), "y x P -> y x 1 1 P"),
    )


def _index_dtype(value: Tensor) -> torch.dtype:
    return torch.int32 if value.numel() < 2**31 else torch.int64


def _at_least_float32(*tensors: Tensor) -> list[Tensor]:
    """Cast to one type, float32 or wider: half precision cannot tell the cells of a large map apart."""
    dtype = torch.float32
    for tensor in tensors:
        dtype = torch.promote_types(dtype, tensor.dtype)
    return [tensor.detach().to(dtype) for tensor in tensors]


def _hat_slopes(distance: Tensor) -> Tensor:
    """Derivative of the hat 1 - |distance|, or 0; from the right at its kinks, as in `grid_sample`."""
    in_reach = (distance >= -1) & (distance < 1)
    return torch.where(distance < 0, 1.0, -1.0).to(distance.dtype).mul_(in_reach)


def _near_plus_far(pair: Tensor, factors: Tensor) -> Tensor:
    """Sum over the two neighbors along one axis, the first of both tensors, weighted."""
    return (pair[0] * factors[0]).addcmul_(pair[1], factors[1])


def _transposed_product(columns: Tensor, entries: Tensor, rows: Tensor, table: Tensor) -> Tensor:
    """Give every row of the table what the entries that read it send back (scipy does it without sorting)."""
    index = columns.numpy().dtype if columns.numel() < 2**31 else np.int64
    starts = np.arange(0, columns.numel() + 1, columns.shape[1], dtype=index)
    matrix = csr_matrix(
        (entries.flatten().numpy(), columns.flatten().numpy(), starts), (len(rows), len(table))
    )
    return torch.from_numpy(matrix.T @ rows.numpy())


def _dot_products(columns: Tensor, rows: Tensor, table: Tensor) -> Tensor:
    """For every entry, the dot product of its row of `rows` with the row of the table that it reads."""
    points = columns.shape[-1]
    if (
        len(table) < points
    ):  # torch wants a sparse matrix to have at least as many columns as entries in a row
        table = F.pad(table, (0, 0, 0, points - len(table)))
    starts = torch.arange(0, len(rows) * points + 1, points, dtype=columns.dtype)
    zeros, shape = rows.new_zeros(len(rows) * points), (len(rows), len(table))
    products = []
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Sparse CSR tensor support is in beta")
        for corner in rearrange(columns, "y x n M P -> (y x) (n M P)"):
            pattern = torch.sparse_csr_tensor(starts, corner, zeros, shape, check_invariants=False)
            products.append(torch.sparse.sampled_addmm(pattern, rows, table.T, beta=0.0).values())
    return torch.stack(products).view(columns.shape)
