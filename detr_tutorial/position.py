"""Where a cell is, as a vector: the sine encoding and the learned one.

Both read the mask, because a position is counted over valid cells only, and both give (B, C, H, W) with one
half of the channels for each axis. Taught in notebooks/04_position_encoding.ipynb.
"""

import math

import torch
from einops import rearrange, repeat
from jaxtyping import Bool, Float
from torch import Tensor, nn

from detr_tutorial._validation import require_divisible, require_int, require_number, require_tensor

SCALE = 2 * math.pi
EPSILON = 1e-6


class SinePositionEncoding(nn.Module):
    """Encode the row and the column of each cell with sines and cosines of several wavelengths.

    The first half of the channels belongs to y, the second to x; within a half, sine and cosine alternate.

    Args:
        num_features_per_axis: channels for y, and again for x; even.
        temperature: ratio between the longest and the shortest wavelength.
        normalize: scale positions to [0, 2 pi] over the valid part of the map.
        offset: added to the count 1, 2, 3, ... before normalizing: -0.5 (Deformable DETR) puts a position at
            the center of its cell, 0 gives DETR's encoding. Not used when `normalize` is False.
    Raises:
        TypeError, ValueError: if `num_features_per_axis` is not a positive even int, `temperature` is not
            positive, or `offset` is not a number.
    Source: DETR (arXiv 2005.12872) and Deformable DETR (arXiv 2010.04159), `PositionEmbeddingSine`; taught in
    notebooks/04_position_encoding.ipynb.
    """

    def __init__(
        self,
        num_features_per_axis: int = 128,
        temperature: int | float = 10000.0,
        normalize: bool = True,
        offset: int | float = -0.5,
    ) -> None:
        super().__init__()
        require_int("num_features_per_axis", num_features_per_axis)
        self.num_features_per_axis = require_divisible(
            "num_features_per_axis", num_features_per_axis, "channels in a sine and cosine pair", 2
        )
        self.temperature = require_number("temperature", temperature, above=0)
        self.normalize = normalize
        self.offset = require_number("offset", offset)

    def forward(
        self, mask: Bool[Tensor, "B H W"], dtype: torch.dtype = torch.float32
    ) -> Float[Tensor, "B C H W"]:
        """Encode every cell of a map.

        Args:
            mask: True where the map is padding. Cells of the padding get numbers without a meaning; in rows
                and columns that are padding only, they differ from the official code's.
            dtype: of the answer, and of the arithmetic: float32 or float64.
        Returns:
            The encoding, C = 2 * num_features_per_axis, y first.
        Raises:
            TypeError, ValueError: if `mask` is not a bool tensor of shape (B, H, W).
        """
        require_tensor("mask", mask, "B H W", "bool")
        valid = (~mask).to(dtype)
        y, x = valid.cumsum(dim=1), valid.cumsum(dim=2)  # B H W, counts 1, 2, 3, ... over valid cells
        if self.normalize:
            # A row or column that is padding only has a count of 0. The official code divides by EPSILON
            # there, and the sine of -3 million is noise that differs between processors. No valid cell
            # changes.
            y = (y + self.offset) / (y[:, -1:, :].clamp(min=1) + EPSILON) * SCALE
            x = (x + self.offset) / (x[:, :, -1:].clamp(min=1) + EPSILON) * SCALE
        waves = torch.cat([self._waves(y), self._waves(x)], dim=-1)  # B H W C
        return rearrange(waves, "B H W C -> B C H W").contiguous()

    def _waves(self, position: Float[Tensor, "B H W"]) -> Float[Tensor, "B H W F"]:
        pair = torch.arange(self.num_features_per_axis // 2, dtype=position.dtype, device=position.device)
        wavelengths = self.temperature ** (2 * pair / self.num_features_per_axis)
        angles = position[..., None] / wavelengths  # B H W F/2
        return rearrange([angles.sin(), angles.cos()], "two B H W half -> B H W (half two)")


class LearnedPositionEncoding(nn.Module):
    """Look up a learned vector for the row and one for the column of each cell.

    The first half of the channels belongs to x, the second to y: the other way round than the sine encoding,
    as in the official code. The table ends at `max_size` rows and columns.

    Args:
        num_features_per_axis: channels for x, and again for y.
        max_size: largest height and width of a map, in cells.
    Raises:
        TypeError, ValueError: if an argument is not a positive int.
    Source: DETR (arXiv 2005.12872), `PositionEmbeddingLearned`; taught in
    notebooks/04_position_encoding.ipynb.
    """

    def __init__(self, num_features_per_axis: int = 128, max_size: int = 50) -> None:
        super().__init__()
        self.max_size = require_int("max_size", max_size)
        self.row_embedding = nn.Embedding(
            max_size, require_int("num_features_per_axis", num_features_per_axis)
        )
        self.column_embedding = nn.Embedding(max_size, num_features_per_axis)
        nn.init.uniform_(self.row_embedding.weight)
        nn.init.uniform_(self.column_embedding.weight)

    def forward(self, mask: Bool[Tensor, "B H W"]) -> Float[Tensor, "B C H W"]:
        """Look up every cell of a map.

        Args:
            mask: only its shape is read.
        Returns:
            The encoding, C = 2 * num_features_per_axis, x first.
        Raises:
            TypeError: if `mask` is not a bool tensor.
            ValueError: if `mask` does not have shape (B, H, W), or a side is larger than `max_size`.
        """
        require_tensor("mask", mask, "B H W", "bool")
        batch, height, width = mask.shape
        if max(height, width) > self.max_size:
            raise ValueError(f"mask of {height} x {width} cells is larger than max_size={self.max_size}")
        rows, columns = self.row_embedding.weight[:height], self.column_embedding.weight[:width]
        x = repeat(columns, "W C -> B C H W", B=batch, H=height)
        y = repeat(rows, "H C -> B C H W", B=batch, W=width)
        return torch.cat([x, y], dim=1)
