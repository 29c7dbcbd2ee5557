"""From pixels to feature maps: ResNet-50 as published, and a small network for CPU work.

Both are called with a PaddedBatch and give the maps of strides 8, 16 and 32 with their padding masks. Taught
in notebooks/03_backbone.ipynb.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch
import torchvision
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torchvision.ops import FrozenBatchNorm2d

from detr_tutorial._validation import require_divisible, require_int, require_list, require_tensor
from detr_tutorial.padding import PaddedBatch, resize_mask

LEVELS = (3, 4, 5)  # C3, C4, C5: strides 8, 16, 32


class BackboneFeatures(NamedTuple):
    """Feature maps, finest first, and the padding mask of each."""

    features: list[Float[Tensor, "B _ _ _"]]
    masks: list[Bool[Tensor, "B _ _"]]  # True is padding


class ResNet50Backbone(nn.Module):
    """ResNet-50 that returns its intermediate maps, with frozen batch norm, stem and first stage.

    Args:
        weights: "IMAGENET1K_V1" for torchvision's first ImageNet weights (98 MB, downloaded once), or None
            for a random start, which is for tests and for loading a checkpoint.
        levels: which of C3, C4, C5 to return, in this order; (5,) is the single-scale model.
        dilated: keep C5 at stride 16 with dilated convolutions (DC5).
    Raises:
        ValueError: if `weights` or `levels` is another value.
        RuntimeError: if the weights can not be downloaded; the message says where to put them.
    Source: Deformable DETR (arXiv 2010.04159), `backbone.py`; taught in notebooks/03_backbone.ipynb.
    """

    def __init__(
        self,
        weights: Literal["IMAGENET1K_V1"] | None = None,
        levels: Sequence[int] = LEVELS,
        dilated: bool = False,
    ) -> None:
        super().__init__()
        if weights not in (None, "IMAGENET1K_V1"):
            raise ValueError(f'weights must be None or "IMAGENET1K_V1", got {weights!r}')
        self.levels = _require_levels(levels)
        resnet = torchvision.models.resnet50(
            weights=None,
            norm_layer=FrozenBatchNorm2d,  # eps 1e-5, statistics never move
            replace_stride_with_dilation=[False, False, dilated],
        )
        if weights is not None:
            resnet.load_state_dict(_download_imagenet_weights())
        self.conv1, self.bn1 = resnet.conv1, resnet.bn1
        self.relu, self.maxpool = resnet.relu, resnet.maxpool
        self.layer1, self.layer2 = resnet.layer1, resnet.layer2
        self.layer3, self.layer4 = resnet.layer3, resnet.layer4
        self.conv1.requires_grad_(False)
        self.layer1.requires_grad_(False)
        self.channels = tuple({3: 512, 4: 1024, 5: 2048}[level] for level in self.levels)
        self.strides = tuple({3: 8, 4: 16, 5: 16 if dilated else 32}[level] for level in self.levels)

    def forward(self, batch: PaddedBatch) -> BackboneFeatures:
        """Compute the feature maps and shrink the mask to each.

        Args:
            batch: normalized images and their padding mask.
        Returns:
            Maps (B, channels[l], H_l, W_l), finest first, and masks (B, H_l, W_l), True where it is padding.
        Raises:
            TypeError, ValueError: if `batch` is not a PaddedBatch of matching pixels and mask.
        """
        pixels, mask = _require_batch(batch)
        stem = self.maxpool(self.relu(self.bn1(self.conv1(pixels))))  # stride 4
        c3 = self.layer2(self.layer1(stem))
        c4 = self.layer3(c3)
        c5 = self.layer4(c4)
        maps = {3: c3, 4: c4, 5: c5}
        return _with_masks([maps[level] for level in self.levels], mask)


class SmallBackbone(nn.Module):
    """A few convolutions with group norm: maps of strides 8, 16 and 32 in milliseconds on a CPU.

    Args:
        channels: channels of C3, C4 and C5; each divisible by 8.
        levels: which of C3, C4, C5 to return, in this order; (5,) is for single-scale models.
        dilated: keep C5 at stride 16 with dilated convolutions (DC5).
    Raises:
        TypeError, ValueError: if `channels` does not hold three positive ints divisible by 8, or `levels` is
            another value.
    Source: ours, for CPU work; taught in notebooks/03_backbone.ipynb.
    """

    def __init__(
        self,
        channels: Sequence[int] = (32, 64, 128),
        levels: Sequence[int] = LEVELS,
        dilated: bool = False,
    ) -> None:
        super().__init__()
        widths = require_list("channels", channels, "ints")
        if len(widths) != 3:
            raise ValueError(f"channels must hold 3 ints, one a level, got {len(widths)}")
        for index, width in enumerate(widths):
            require_divisible(f"channels[{index}]", require_int(f"channels[{index}]", width), "groups", 8)
        self.levels = _require_levels(levels)
        self.channels = tuple(widths[level - 3] for level in self.levels)
        self.strides = tuple({3: 8, 4: 16, 5: 16 if dilated else 32}[level] for level in self.levels)
        self.stem = nn.Sequential(_shrink(3, 16), _shrink(16, 32))  # stride 4
        self.stages = nn.ModuleList(
            nn.Sequential(_shrink(before, width, dilated and level == 5), _Residual(width))
            for level, before, width in zip(LEVELS, [32, *widths], widths, strict=False)
        )

    def forward(self, batch: PaddedBatch) -> BackboneFeatures:
        """Compute the feature maps and shrink the mask to each.

        Args:
            batch: normalized images and their padding mask.
        Returns:
            Maps (B, channels[l], H_l, W_l), finest first, and masks (B, H_l, W_l), True where it is padding.
        Raises:
            TypeError, ValueError: if `batch` is not a PaddedBatch of matching pixels and mask.
        """
        pixels, mask = _require_batch(batch)
        current = self.stem(pixels)
        maps = {}
        for level, stage in zip(LEVELS, self.stages, strict=True):
            current = stage(current)
            maps[level] = current
        return _with_masks([maps[level] for level in self.levels], mask)


class _Residual(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.norm = nn.GroupNorm(8, width)

    def forward(self, features: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C H W"]:
        return torch.relu(features + self.norm(self.conv(features)))


def _shrink(in_channels: int, out_channels: int, dilated: bool = False) -> nn.Sequential:
    """A convolution with stride 2: n cells become ceil(n / 2). Dilated, it keeps the size."""
    stride, reach = (1, 2) if dilated else (2, 1)
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, 3, stride=stride, padding=reach, dilation=reach, bias=False),
        nn.GroupNorm(8, out_channels),
        nn.ReLU(),
    )


def _require_levels(levels: Any) -> tuple[int, ...]:
    rising = tuple(require_list("levels", levels, "ints out of 3, 4, 5"))
    if not set(rising) <= set(LEVELS) or list(rising) != sorted(set(rising)):
        raise ValueError(f"levels must be rising and out of 3, 4, 5, got {rising}")
    return rising


def _with_masks(maps: list[Tensor], mask: Bool[Tensor, "B H W"]) -> BackboneFeatures:
    return BackboneFeatures(maps, [resize_mask(mask, (m.shape[-2], m.shape[-1])) for m in maps])


def _require_batch(batch: Any) -> PaddedBatch:
    if not isinstance(batch, PaddedBatch):
        raise TypeError(f"batch must be a PaddedBatch (see pad_images), got {type(batch).__name__}")
    require_tensor("batch.pixels", batch.pixels, "B 3 H W")
    require_tensor("batch.mask", batch.mask, "B H W", "bool")
    expected = (batch.pixels.shape[0], *batch.pixels.shape[2:])
    if batch.mask.shape != expected:
        raise ValueError(
            f"batch.mask must have shape {expected} like batch.pixels, got {tuple(batch.mask.shape)}"
        )
    return batch


def _download_imagenet_weights() -> dict[str, Tensor]:
    weights = torchvision.models.ResNet50_Weights.IMAGENET1K_V1
    try:
        return dict(weights.get_state_dict(progress=False, check_hash=True))
    except Exception as error:  # no network, proxy, full disk, broken file: all end in the same advice
        target = Path(torch.hub.get_dir()) / "checkpoints" / Path(weights.url).name
        raise RuntimeError(
            f"the ImageNet weights of ResNet-50 could not be read or downloaded ({error}): fetch "
            f"{weights.url} on a machine with network access and put it at {target}, or pass weights=None"
        ) from error
