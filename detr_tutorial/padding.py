"""Images of different sizes in one tensor: pad right and bottom, and remember what is padding.

A mask says where the batch is padding (True), it shrinks with the feature maps, and `valid_ratios` says
which part of each map holds the image. Taught in notebooks/02_images_boxes_padding.ipynb.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor

from detr_tutorial._validation import require_finite, require_list, require_size, require_tensor

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class PaddedBatch(NamedTuple):
    """Images of different sizes, padded right and bottom to the largest height and width."""

    pixels: Float[Tensor, "B 3 H W"]
    mask: Bool[Tensor, "B H W"]  # True is padding


def normalize_image(image: Float[Tensor, "3 H W"]) -> Float[Tensor, "3 H W"]:
    """Subtract the ImageNet mean and divide by the ImageNet standard deviation, channel by channel.

    Normalize before padding: padding is then 0, the mean color.

    Args:
        image: RGB in [0, 1].
    Returns:
        The normalized image, roughly in [-2.2, 2.7].
    Raises:
        TypeError: if `image` is not a floating point tensor (a uint8 image must be divided by 255 first).
        ValueError: if `image` does not have shape (3, H, W), or holds NaN or infinity.
    Source: DETR (arXiv 2005.12872), `datasets/coco.py`; taught in notebooks/02_images_boxes_padding.ipynb.
    """
    require_finite("image", require_tensor("image", image, "3 H W"))
    mean = rearrange(image.new_tensor(IMAGENET_MEAN), "channel -> channel 1 1")
    std = rearrange(image.new_tensor(IMAGENET_STD), "channel -> channel 1 1")
    return (image - mean) / std


def pad_images(images: Sequence[Float[Tensor, "3 _ _"]]) -> PaddedBatch:
    """Put images of different sizes into one tensor, with zeros to the right and below.

    Args:
        images: B images, usually normalized; of one dtype, on one device.
    Returns:
        pixels (B, 3, H, W), with H and W the largest height and width; and mask (B, H, W), True where it is
        padding.
    Raises:
        TypeError: if `images` is not a list or tuple of floating point tensors, or mixes dtypes.
        ValueError: if there is no image, or one does not have shape (3, H, W), or holds NaN or infinity.
    Source: DETR (arXiv 2005.12872), `nested_tensor_from_tensor_list`; taught in
    notebooks/02_images_boxes_padding.ipynb.
    """
    images = require_list("images", images, "(3, H, W) tensors")
    for index, image in enumerate(images):
        require_finite(f"images[{index}]", require_tensor(f"images[{index}]", image, "3 H W"))
        if image.dtype != images[0].dtype or image.device != images[0].device:
            raise TypeError(
                f"images must share dtype and device: images[0] is {images[0].dtype} on {images[0].device}, "
                f"images[{index}] is {image.dtype} on {image.device}"
            )
    heights = torch.tensor([image.shape[1] for image in images], device=images[0].device)
    widths = torch.tensor([image.shape[2] for image in images], device=images[0].device)
    height, width = int(heights.max()), int(widths.max())
    pixels = [F.pad(image, (0, width - image.shape[2], 0, height - image.shape[1])) for image in images]
    return PaddedBatch(torch.stack(pixels), _right_bottom_mask(heights, widths, (height, width)))


def resize_mask(mask: Bool[Tensor, "B H W"], size: tuple[int, int]) -> Bool[Tensor, "B h w"]:
    """Shrink a padding mask to the size of a feature map.

    Nearest neighbor with floor indices: cell (i, j) reads pixel (floor(i H / h), floor(j W / w)). Cell (0, 0)
    reads pixel (0, 0), so a level always keeps at least one valid cell.

    Args:
        mask: True where the batch is padding.
        size: (height, width) of the feature map, in cells.
    Returns:
        The mask on that map, True where it is padding.
    Raises:
        TypeError: if `mask` is not a bool tensor.
        ValueError: if a side of `size` is smaller than 1 or larger than the mask's.
    Source: DETR (arXiv 2005.12872), `BackboneBase`; taught in notebooks/03_backbone.ipynb.
    """
    require_tensor("mask", mask, "B H W", "bool")
    height, width = require_size("size", size)
    if height > mask.shape[1] or width > mask.shape[2]:
        raise ValueError(
            f"size ({height}, {width}) is larger than the mask ({mask.shape[1]}, {mask.shape[2]}): "
            "a feature map has at most one cell a pixel"
        )
    return F.interpolate(mask[:, None].float(), size=(height, width), mode="nearest")[:, 0].bool()


def valid_ratios(
    masks: Sequence[Bool[Tensor, "B _ _"]], dtype: torch.dtype = torch.float32
) -> Float[Tensor, "B L 2"]:
    """Say for every image and level which part of the width and of the height holds the image.

    Args:
        masks: one (B, H_l, W_l) mask a level, True where it is padding; padding only right and bottom.
        dtype: of the answer.
    Returns:
        (x, y) = (valid width / width, valid height / height), each in (0, 1].
    Raises:
        TypeError: if `masks` is not a list or tuple of bool tensors.
        ValueError: if there is no level, batch sizes differ, an image has no valid cell, or the padding is
            not only right and bottom (a letterboxed image); not looked at inside `torch.compile`.
    Source: Deformable DETR (arXiv 2010.04159), `DeformableTransformer.get_valid_ratio`; taught in
    notebooks/10_reference_points.ipynb.
    """
    masks = require_list("masks", masks, "(B, H, W) bool tensors")
    ratios = []
    for level, mask in enumerate(masks):
        require_tensor(f"masks[{level}]", mask, "B H W", "bool")
        if mask.shape[0] != masks[0].shape[0]:
            raise ValueError(
                f"masks must share the batch size: masks[0] has {masks[0].shape[0]}, "
                f"masks[{level}] has {mask.shape[0]}"
            )
        height, width = mask.shape[1:]
        valid_heights = (~mask[:, :, 0]).sum(dim=1)  # B, counted down the first column
        valid_widths = (~mask[:, 0, :]).sum(dim=1)  # B, counted along the first row
        if not torch.compiler.is_compiling():
            _require_right_bottom(level, mask, valid_heights, valid_widths)
        ratios.append(torch.stack([valid_widths.to(dtype) / width, valid_heights.to(dtype) / height], dim=-1))
    return torch.stack(ratios, dim=1)


def _require_right_bottom(level: int, mask: Tensor, valid_heights: Tensor, valid_widths: Tensor) -> None:
    expected = _right_bottom_mask(valid_heights, valid_widths, (mask.shape[1], mask.shape[2]))
    wrong = (mask != expected).flatten(1).any(dim=1)
    if wrong.any():
        raise ValueError(
            f"masks[{level}], image {_first(wrong)}: padding must be right and bottom only "
            "(True is padding); move a letterboxed image to the top left corner"
        )
    if (valid_heights == 0).any():
        raise ValueError(f"masks[{level}], image {_first(valid_heights == 0)}: every cell is padding")


def _first(flags: Bool[Tensor, "B"]) -> int:
    return int(flags.nonzero()[0])


def _right_bottom_mask(heights: Tensor, widths: Tensor, size: tuple[int, int]) -> Bool[Tensor, "B H W"]:
    """True from each image's own height downwards and from its own width rightwards."""
    rows = torch.arange(size[0], device=heights.device)
    columns = torch.arange(size[1], device=heights.device)
    below = rearrange(rows, "H -> 1 H 1") >= rearrange(heights, "B -> B 1 1")
    right = rearrange(columns, "W -> 1 1 W") >= rearrange(widths, "B -> B 1 1")
    return below | right
