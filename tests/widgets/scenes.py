"""A small scene for the explorer's tests: two photographs of different size, eight heads, four levels."""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d, interpolate

from detr_tutorial.data import photos
from detr_tutorial.deformable_attention import MSDeformAttn
from detr_tutorial.features import FlattenedFeatures, flatten_levels

SIZES = ((240, 320), (296, 208))  # the (height, width) of the two photographs
SHAPES = ((37, 40), (19, 20), (10, 10), (5, 5))


class Example(NamedTuple):
    attention: MSDeformAttn
    flattened: FlattenedFeatures
    images: tuple[Tensor, Tensor]


def example(trained: bool = True) -> Example:
    """Random maps of real photographs; `trained` gives the attention weights that depend on the query."""
    generator = torch.Generator().manual_seed(5)
    photographs = (photos.load("cat"), photos.load("astronaut"))
    images = tuple(
        interpolate(photo[None], size, mode="bilinear", antialias=True)[0].clamp(0, 1)
        for photo, size in zip(photographs, SIZES, strict=True)
    )
    canvas = torch.zeros(2, 3, 296, 320)
    mask = torch.ones(2, 296, 320, dtype=torch.bool)
    for index, image in enumerate(images):
        canvas[index, :, : image.shape[1], : image.shape[2]] = image
        mask[index, : image.shape[1], : image.shape[2]] = False
    mix = torch.randn(64, 3, generator=generator)
    features, positions, masks = [], [], []
    for height, width in SHAPES:
        pooled = adaptive_avg_pool2d(canvas, (height, width))
        features.append(torch.einsum("cd, bdhw -> bchw", mix, pooled - 0.4))
        positions.append(torch.randn(2, 64, height, width, generator=generator) * 0.3)
        masks.append(interpolate(mask[:, None].float(), (height, width))[:, 0].bool())
    flattened = flatten_levels(features, positions, masks, torch.randn(4, 64, generator=generator) * 0.2)
    with torch.random.fork_rng():
        torch.manual_seed(11)
        attention = MSDeformAttn(d_model=64, num_levels=4, num_heads=8, num_points=4)
        if trained:
            with torch.no_grad():
                attention.sampling_offsets.weight.normal_(0, 0.08)
                attention.attention_weights.weight.normal_(0, 0.08)
                attention.value_proj.bias.normal_(0, 0.1)
    return Example(attention, flattened, (images[0], images[1]))
