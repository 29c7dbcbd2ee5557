"""Reading a map between its cells, and the first layer made of it: deformable convolution.

A map holds numbers at whole positions. The bilinear kernel says what lies between them, and gives the
position itself a gradient. A convolution whose nine points may then stand anywhere is deformable; what
deformable attention keeps of it, and what it leaves, is the rest of Part II.

Taught in notebooks/07_deformable_convolution.ipynb.
"""

from typing import Any

import torch
from einops import einsum, rearrange
from jaxtyping import Float
from torch import Tensor, nn

from detr_tutorial._validation import require_finite, require_int, require_size, require_tensor


def bilinear_kernel(distance: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Say how much a cell counts for a point at some distance along one axis: max(0, 1 - |distance|).

    Where the kernel has a kink, the gradient is the slope to its right, as in `grid_sample`.

    Args:
        distance: point minus cell, in cells; any shape.
    Returns:
        Weights in [0, 1], of the same shape.
    Raises:
        TypeError: if `distance` is not a floating-point tensor.
    Source: Deformable Convolutional Networks (arXiv 1703.06211), equation 4; taught in
        notebooks/07_deformable_convolution.ipynb.
    """
    require_tensor("distance", distance, "...")
    hat = torch.where(distance < 0, 1 + distance, 1 - distance)
    return torch.where((distance >= -1) & (distance < 1), hat, 0.0)


def bilinear_sample(
    feature_map: Float[Tensor, "B C H W"], points: Float[Tensor, "B P 2"]
) -> Float[Tensor, "B C P"]:
    """Read a map at points between its cells: four neighbors each, weighted by the kernel.

    Cells outside the map count as zero, and the weight that falls on them is lost.

    Args:
        feature_map: (B, C, H, W).
        points: (B, P, 2) as (x, y), in cells: whole numbers are cell centers, (0, 0) is the first.
    Returns:
        (B, C, P). Gradients reach the four cells, and the points.
    Raises:
        TypeError: if an argument is not a floating-point tensor.
        ValueError: if shapes do not fit together, or a point is NaN or infinite.
    Source: Deformable Convolutional Networks (arXiv 1703.06211), equations 3 and 4; `grid_sample` with zero
        padding gives the same numbers; taught in notebooks/07_deformable_convolution.ipynb.
    """
    require_tensor("feature_map", feature_map, "B C H W")
    require_tensor("points", points, f"{len(feature_map)} P 2")
    require_finite("points", points)
    height, width = feature_map.shape[2:]
    cells = rearrange(feature_map, "B C H W -> B C (H W)")
    first = points.detach().floor()  # the upper left of the four
    total = torch.zeros((), dtype=feature_map.dtype, device=feature_map.device)
    for right, below in ((0, 0), (1, 0), (0, 1), (1, 1)):
        column, row = first[..., 0] + right, first[..., 1] + below  # B P
        weight = bilinear_kernel(points[..., 0] - column) * bilinear_kernel(points[..., 1] - row)
        inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
        place = row.clamp(0, height - 1) * width + column.clamp(0, width - 1)
        index = rearrange(place.long(), "B P -> B 1 P").expand(-1, feature_map.shape[1], -1)
        share = rearrange(weight * inside, "B P -> B 1 P").to(feature_map.dtype)
        total = total + share * cells.gather(2, index)
    return total


def kernel_grid(kernel_size: tuple[int, int] = (3, 3), dilation: int = 1) -> Float[Tensor, "N 2"]:
    """Give the points of a convolution's kernel at rest, around its middle.

    Args:
        kernel_size: (height, width) of the kernel.
        dilation: distance between neighboring points, in cells.
    Returns:
        (N, 2) as (x, y), in cells, row by row; N is height times width.
    Raises:
        TypeError, ValueError: if a size or the dilation is not an int of at least 1.
    Source: Deformable Convolutional Networks (arXiv 1703.06211), section 2.1; taught in
        notebooks/07_deformable_convolution.ipynb.
    """
    height, width = require_size("kernel_size", kernel_size)
    step = require_int("dilation", dilation)
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    steps = torch.stack([x - (width - 1) / 2, y - (height - 1) / 2], dim=-1) * step
    return rearrange(steps, "height width xy -> (height width) xy")


def deform_conv2d(
    feature_map: Float[Tensor, "B C H W"],
    offsets: Float[Tensor, "B h w N 2"],
    weight: Float[Tensor, "out C kh kw"],
    bias: Float[Tensor, "out"] | None = None,
    *,
    stride: int = 1,
    padding: int = 0,
    dilation: int = 1,
    modulation: Float[Tensor, "B h w N"] | None = None,
) -> Float[Tensor, "B out h w"]:
    """Convolve, with every point of the kernel moved by its own offset at every place.

    Args:
        feature_map: (B, C, H, W).
        offsets: (B, h, w, N, 2) as (x, y), in cells of `feature_map`; N = kh kw points, row by row; (h, w) is
            the size that a convolution with these settings gives. Points may lie anywhere.
        weight: (out, C, kh, kw).
        bias: (out,), or None.
        stride: distance between the places of two outputs, in cells.
        padding: cells of zeros around the map, at least 0.
        dilation: distance between points of the kernel at rest, in cells.
        modulation: (B, h, w, N), a factor for each reading (version 2 of the layer), or None for 1.
    Returns:
        (B, out, h, w). Gradients reach all tensors.
    Raises:
        TypeError: if a tensor is not floating point or a setting not an int.
        ValueError: if shapes do not fit together, a setting is out of range, or an offset is NaN or infinite.
    Source: Deformable Convolutional Networks (arXiv 1703.06211), equation 2, and version 2 (arXiv
        1811.11168), equation 1; `torchvision.ops.deform_conv2d` gives the same numbers, with offsets as
        (y, x) in the channels; taught in notebooks/07_deformable_convolution.ipynb.
    """
    require_tensor("feature_map", feature_map, "B C H W")
    batch, channels, *size = feature_map.shape
    require_tensor("weight", weight, f"out {channels} kh kw")
    out_channels, _, *kernel = weight.shape
    require_int("stride", stride)
    require_int("padding", padding, minimum=0)
    require_int("dilation", dilation)
    height, width = (
        (cells + 2 * padding - dilation * (side - 1) - 1) // stride + 1
        for cells, side in zip(size, kernel, strict=True)
    )
    if min(height, width) < 1:
        raise ValueError(f"weight of {tuple(kernel)} does not fit on a map of {tuple(size)} as padded")
    count = kernel[0] * kernel[1]
    require_tensor("offsets", offsets, f"{batch} {height} {width} {count} 2")
    require_finite("offsets", offsets)
    if bias is not None:
        require_tensor("bias", bias, f"{out_channels}")

    like = {"dtype": offsets.dtype, "device": offsets.device}
    first = [dilation * (side - 1) / 2 - padding for side in kernel]  # the middle of the first window
    y = torch.arange(height, **like) * stride + first[0]
    x = torch.arange(width, **like) * stride + first[1]
    middles = torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1)  # h w 2
    at_rest = kernel_grid((kernel[0], kernel[1]), dilation).to(**like)
    points = rearrange(middles, "h w xy -> h w 1 xy") + at_rest + offsets  # B h w N 2
    reads = bilinear_sample(feature_map, rearrange(points, "B h w N xy -> B (h w N) xy"))
    reads = rearrange(reads, "B C (h w N) -> B C h w N", h=height, w=width)
    if modulation is not None:
        require_tensor("modulation", modulation, f"{batch} {height} {width} {count}")
        reads = reads * rearrange(modulation, "B h w N -> B 1 h w N")
    output = einsum(reads, weight.flatten(2), "B C h w N, out C N -> B out h w")
    return output if bias is None else output + rearrange(bias, "out -> out 1 1")


class DeformableConv2d(nn.Module):
    """A convolution that predicts from the map itself where its points should stand.

    A second convolution of the same kernel, stride, padding and dilation predicts the offsets. Its weights
    start at zero: the layer begins as an ordinary convolution.

    Args:
        in_channels: C.
        out_channels: of the output.
        kernel_size: side of the square kernel.
        stride: distance between the places of two outputs, in cells.
        padding: cells of zeros around the map.
        dilation: distance between points of the kernel at rest, in cells.
    Raises:
        TypeError, ValueError: if an argument is not an int in its range.
    Source: Deformable Convolutional Networks (arXiv 1703.06211), section 2.1; taught in
        notebooks/07_deformable_convolution.ipynb.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int = 3,
        stride: int = 1,
        padding: int = 1,
        dilation: int = 1,
    ) -> None:
        super().__init__()
        require_int("in_channels", in_channels)
        require_int("out_channels", out_channels)
        require_int("kernel_size", kernel_size)
        require_int("stride", stride)
        require_int("padding", padding, minimum=0)
        require_int("dilation", dilation)
        settings: Any = {"stride": stride, "padding": padding, "dilation": dilation}
        self.settings = settings
        self.conv = nn.Conv2d(in_channels, out_channels, kernel_size, **settings)
        self.to_offsets = nn.Conv2d(in_channels, 2 * kernel_size**2, kernel_size, **settings)
        for parameter in self.to_offsets.parameters():
            nn.init.zeros_(parameter)

    def predict_offsets(self, feature_map: Float[Tensor, "B C H W"]) -> Float[Tensor, "B h w N 2"]:
        """Say where each point moves, as (x, y) in cells."""
        return rearrange(self.to_offsets(feature_map), "B (N xy) h w -> B h w N xy", xy=2)

    def forward(self, feature_map: Float[Tensor, "B C H W"]) -> Float[Tensor, "B out h w"]:
        """Convolve at the predicted points.

        Args:
            feature_map: (B, C, H, W).
        Returns:
            (B, out, h, w).
        Raises:
            TypeError, ValueError: if `feature_map` is not a floating-point tensor of that shape.
        """
        require_tensor("feature_map", feature_map, f"B {self.conv.in_channels} H W")
        offsets = self.predict_offsets(feature_map)
        return deform_conv2d(feature_map, offsets, self.conv.weight, self.conv.bias, **self.settings)
