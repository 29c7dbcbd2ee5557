"""Everything the explorer draws, computed once from a real attention: the part that never changes."""

import base64
import io
import math
from typing import Any, NamedTuple

import numpy as np
import torch
from einops import rearrange
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from detr_tutorial._validation import require_int, require_tensor
from detr_tutorial.deformable_attention import MSDeformAttn
from detr_tutorial.features import FlattenedFeatures
from detr_tutorial.reference_points import encoder_reference_points
from detr_tutorial.widgets._packing import pack, pack_table, to_int16

ALL = -1  # all heads, all levels
MAX_PHOTO_BYTES = 40_000
MAX_PACKED_BYTES = 185_000  # 250 KB in all with the photograph, which base64 makes a third larger
RECORD_TOLERANCE = 5e-4  # cells of a level, and logits
SMALLEST_WEIGHT = 1e-30  # a weight that underflowed to 0 still has a logarithm
CHANNEL = 0  # of every head: the one whose arithmetic is shown


class QueryRecord(NamedTuple):
    """What the attention did for one query."""

    references: NDArray  # L 2, (x, y) in [0, 1] over the padded batch
    locations: NDArray  # M L K 2, the same
    weights: NDArray  # M L K


class Inputs(NamedTuple):
    """The checked arguments of the explorer."""

    attention: MSDeformAttn
    flattened: FlattenedFeatures
    references: Tensor  # B S L 2
    image: Tensor  # 3 H W
    image_index: int
    query_level: int
    valid_sizes: tuple[tuple[int, int], ...]  # (rows, columns) of each level that are not padding


def check_inputs(attention: Any, flattened: Any, image: Any, image_index: Any, query_level: Any) -> Inputs:
    """Check that the arguments fit together, and find the valid part of every level."""
    if not isinstance(attention, MSDeformAttn):
        raise TypeError(f"attention must be an MSDeformAttn, got {type(attention).__name__}")
    if not isinstance(flattened, FlattenedFeatures):
        raise TypeError(f"flattened must be a FlattenedFeatures, got {type(flattened).__name__}")
    shapes = flattened.spatial_shapes
    num_tokens = sum(height * width for height, width in shapes)
    tokens = require_tensor("flattened.tokens", flattened.tokens, f"B {num_tokens} {attention.d_model}")
    batch = len(tokens)
    require_tensor("flattened.positions", flattened.positions, f"{batch} {num_tokens} {attention.d_model}")
    require_tensor("flattened.mask", flattened.mask, f"{batch} {num_tokens}", "bool")
    require_tensor("flattened.valid_ratios", flattened.valid_ratios, f"{batch} {len(shapes)} 2")
    if attention.num_levels != len(shapes):
        raise ValueError(f"attention expects {attention.num_levels} levels, flattened holds {len(shapes)}")
    require_tensor("image", image, "3 H W")
    if not bool(((image >= 0) & (image <= 1)).all()):
        raise ValueError("image must lie in [0, 1], got values outside it (or NaN)")
    if require_int("image_index", image_index, minimum=0) >= batch:
        raise ValueError(f"image_index={image_index} is not in the batch of {batch}")
    if require_int("query_level", query_level, minimum=0) >= len(shapes):
        raise ValueError(f"query_level={query_level} is not one of the {len(shapes)} levels")
    valid_sizes = tuple(
        _valid_size(flattened.mask[image_index], shapes, level) for level in range(len(shapes))
    )
    _check_aspect(image, valid_sizes[0])
    references = encoder_reference_points(shapes, flattened.valid_ratios)
    return Inputs(attention, flattened, references, image, image_index, query_level, valid_sizes)


def _level_slice(shapes: tuple[tuple[int, int], ...], level: int) -> slice:
    start = sum(height * width for height, width in shapes[:level])
    return slice(start, start + shapes[level][0] * shapes[level][1])


def _valid_size(mask: Tensor, shapes: tuple[tuple[int, int], ...], level: int) -> tuple[int, int]:
    height, width = shapes[level]
    valid = ~rearrange(mask[_level_slice(shapes, level)], "(H W) -> H W", H=height, W=width)
    rows, columns = int(valid[:, 0].sum()), int(valid[0].sum())
    if rows * columns == 0 or int(valid.sum()) != rows * columns or not bool(valid[:rows, :columns].all()):
        raise ValueError(f"flattened.mask must be padding on the right and bottom only, level {level} is not")
    return rows, columns


def _check_aspect(image: Tensor, valid_size: tuple[int, int]) -> None:
    (height, width), (rows, columns) = image.shape[1:], valid_size
    lowest = max(height / (rows + 1), width / (columns + 1))
    highest = min(height / max(rows - 1.5, 0.5), width / max(columns - 1.5, 0.5))
    if lowest > highest:
        raise ValueError(
            f"image of {height} x {width} (height x width) does not have the shape of the {rows} x {columns} "
            "valid cells of level 0: is it another image of the batch?"
        )


def canvas_size(image: Tensor, valid_size: tuple[int, int], shape: tuple[int, int]) -> tuple[float, float]:
    """Find the (height, width) of the padded batch, in pixels of this image.

    The stride of the finest level is taken to be a power of two where that fits both sides, as in every
    convolutional backbone; otherwise (an image shown at another size) it is image size over valid cells.
    """
    (height, width), (rows, columns) = image.shape[1:], valid_size
    power = 2.0 ** round(math.log2(width / columns))
    if 0 <= power * rows - height < power and 0 <= power * columns - width < power:
        return float(power * shape[0]), float(power * shape[1])
    return height / rows * shape[0], width / columns * shape[1]


def photo_uri(image: Tensor) -> str:
    """Encode a photograph as a WebP data URI of at most 40 KB."""
    pixels = rearrange(image.detach().cpu().float(), "rgb H W -> H W rgb").mul(255).round().byte().numpy()
    photo = Image.fromarray(pixels)
    photo.thumbnail((640, 640))
    for quality in (80, 65, 50, 35, 20, 5):
        buffer = io.BytesIO()
        photo.save(buffer, "WEBP", quality=quality, method=6)
        if buffer.tell() <= MAX_PHOTO_BYTES:
            break
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


@torch.no_grad()
def attend(inputs: Inputs, queries: Tensor) -> tuple[NDArray, NDArray, NDArray]:
    """Run the attention for some tokens as queries.

    Returns:
        References (Q, L, 2), locations (Q, M, L, K, 2) and weights (Q, M, L, K).
    """
    image = slice(inputs.image_index, inputs.image_index + 1)
    features = inputs.flattened
    references = inputs.references[image, queries]
    _, record = inputs.attention(
        features.tokens[image, queries] + features.positions[image, queries],
        references,
        features.tokens[image],
        features.spatial_shapes,
        features.mask[image],
    )
    references, locations, weights = (
        part[0].double().cpu().numpy() for part in (references, record.locations, record.weights)
    )
    return references, locations, weights


@torch.no_grad()
def head_values(inputs: Inputs) -> NDArray:
    """Values of every head, zero on padding, as the attention reads them: (S, M, D)."""
    tokens = inputs.flattened.tokens[inputs.image_index]
    mask = inputs.flattened.mask[inputs.image_index]
    values = inputs.attention.value_proj(tokens).masked_fill(mask[:, None], 0.0)
    return rearrange(values, "S (M D) -> S M D", M=inputs.attention.num_heads).double().cpu().numpy()


def grid_tokens(inputs: Inputs) -> NDArray:
    """Flat indices of the valid tokens of the query level, row by row."""
    width = inputs.flattened.spatial_shapes[inputs.query_level][1]
    start = _level_slice(inputs.flattened.spatial_shapes, inputs.query_level).start
    rows, columns = inputs.valid_sizes[inputs.query_level]
    return start + np.arange(rows)[:, None] * width + np.arange(columns)[None]


def build_scene(inputs: Inputs) -> dict[str, Any]:
    """Compute what the browser needs to draw any query of the query level, without the photograph."""
    shapes, valid_sizes = inputs.flattened.spatial_shapes, inputs.valid_sizes
    attention = inputs.attention
    references, locations, weights = attend(inputs, torch.as_tensor(grid_tokens(inputs).reshape(-1)))
    width_height = np.array([(width, height) for height, width in shapes], dtype=np.float64)
    offsets = (locations - references[:, None, :, None]) * width_height[:, None]
    logits = np.log(np.maximum(weights, SMALLEST_WEIGHT))
    logits -= logits.mean(axis=(2, 3), keepdims=True)
    table = np.concatenate([part.reshape(len(references), -1) for part in (offsets, logits)], axis=1)
    records, record_error = pack_table(table, RECORD_TOLERANCE)

    values = head_values(inputs)
    valid_values = np.concatenate(
        [
            rearrange(values[_level_slice(shapes, level)], "(H W) M D -> H W M D", H=height)[
                :rows, :columns
            ].reshape(rows * columns, *values.shape[1:])
            for level, ((height, _), (rows, columns)) in enumerate(zip(shapes, valid_sizes, strict=True))
        ]
    )
    strength = np.linalg.norm(valid_values, axis=-1)  # S' M
    integers, scale = to_int16(valid_values[..., CHANNEL], axis=1)
    canvas_height, canvas_width = canvas_size(inputs.image, valid_sizes[0], shapes[0])
    scene = {
        "canvas": [round(canvas_width, 3), round(canvas_height, 3)],
        "photoSize": [inputs.image.shape[2], inputs.image.shape[1]],
        "spatialShapes": [list(shape) for shape in shapes],
        "validSizes": [list(size) for size in valid_sizes],
        "validRatios": inputs.flattened.valid_ratios[inputs.image_index].double().tolist(),
        "queryLevel": inputs.query_level,
        "numHeads": attention.num_heads,
        "numPoints": attention.num_points,
        "channel": CHANNEL,
        "records": records,
        "recordError": float(f"{record_error:.2g}"),
        "values": pack(integers.T, "int16"),
        "valueScale": [float(f"{number:.9g}") for number in scale],
        "strength": pack(np.rint(strength.T / max(strength.max(), 1e-12) * 255), "uint8"),
    }
    size = sum(len(part["data"]) for part in _packed_parts(scene))
    if size > MAX_PACKED_BYTES:
        rows, columns = valid_sizes[inputs.query_level]
        raise ValueError(
            f"query_level={inputs.query_level} of {rows} x {columns} queries needs {size // 1000} KB on a "
            f"page, more than {MAX_PACKED_BYTES // 1000} KB: choose a coarser level or a smaller image"
        )
    return scene


def _packed_parts(scene: dict[str, Any]) -> list[dict[str, Any]]:
    records = scene["records"]
    return [records["mean"], records["left"], records["right"], scene["values"], scene["strength"]]


def query_record(inputs: Inputs, query: int) -> QueryRecord:
    """Run the attention for one query."""
    references, locations, weights = attend(inputs, torch.tensor([query]))
    return QueryRecord(references[0], locations[0], weights[0])
