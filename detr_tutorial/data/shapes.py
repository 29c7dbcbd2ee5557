"""A synthetic detection set: six kinds of shapes over photographs and noise, drawn on the fly.

Item i depends on the seed and on i alone, so the set needs no files, never ends, and is the same everywhere.
Objects are 6 to 64 pixels long: a third small, a third medium, a third large. Train and held-out images
differ by their seed. `python -m detr_tutorial.data.shapes --out DIR --images N` writes images and annotations
in COCO format. Taught in notebooks/18_training.ipynb.
"""

import argparse
import json
import math
import sys
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from einops import rearrange
from jaxtyping import Float, Float64, Int32, UInt8
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

from detr_tutorial._validation import require_int, require_list, require_size
from detr_tutorial.boxes import to_relative, xyxy_to_cxcywh
from detr_tutorial.data import photos
from detr_tutorial.padding import PaddedBatch, normalize_image, pad_images

CLASSES = ("circle", "square", "triangle", "star", "cross", "ring")

# The square root of an object's box area, in pixels: one of the three ranges, then uniform within it.
SIDES = ((7.5, 16.0), (16.0, 32.0), (32.0, 51.0))
LONGEST_SIDE = 0.6  # of the image's shorter side: larger objects are drawn at this size
STRETCH = 1.35  # largest ratio of a shape's two axes
OUTSIDE = 0.25  # largest part of an object's width, and of its height, beyond the image's border
VISIBLE = 0.5  # part of an object's pixels that no later object may cover
CONTRAST = 120  # distance from an object's color to those beneath it, in RGB of 0 to 255
MAX_OBJECTS = 8
EMPTY = 0.05  # part of the images without any object
NOISE = 0.25  # part of the images over noise; all others are over photographs
TRIES = 8  # places tried for an object before it is left out
MIN_SIZE = 16  # of an image's height and width, in pixels

ARM = 0.34  # half the thickness of the cross, whose half width is 1
HOLE = 0.5  # inner radius of the ring, whose outer radius is 1


class Shape(NamedTuple):
    """One object: what it is, where it is, how long, how stretched, how turned."""

    label: int  # index into CLASSES
    x: float  # of the center, in pixels; box edges lie between pixels, so the first pixel's center is 0.5
    y: float
    scale: float  # pixels a unit of the shape's own coordinates
    stretch: float  # the first axis is sqrt(stretch) times as long, the second is divided by it
    cosine: float  # of the angle it is turned by
    sine: float


class Picture(NamedTuple):
    """One drawn image and its objects, in drawing order: a later one may cover an earlier one."""

    pixels: UInt8[np.ndarray, "H W 3"]
    shapes: list[Shape]
    boxes: list[tuple[float, float, float, float]]  # (x1, y1, x2, y2) in pixels


class ShapesDataset(Dataset):
    """Shapes on photographs and noise; item i is drawn when it is asked for.

    An image holds 0 to 8 objects of `CLASSES`. The square root of an object's box area is uniform in 7.5 to
    16 pixels for a third of them, in 16 to 32 for another, in 32 to 51 for the last; with their stretch, the
    sides lie between 6 and 64 pixels. The border may cut off up to a quarter of the width and of the height.
    Color is random and tells nothing about the class; it stands out from what is beneath. A box is tight
    around the whole shape as far as it is inside the image, also where another object covers it. At least
    half of each object's pixels stay visible: where no place allows that, an object is left out.

    Args:
        num_images: length of the set; an image costs nothing before it is asked for.
        seed: of the whole set, at least 0; a held-out set takes another seed.
        size: (height, width) of every image in pixels, each at least 16.
    Raises:
        TypeError, ValueError: if an argument is not as described.
    Source: ours; taught in notebooks/18_training.ipynb.
    """

    def __init__(self, num_images: int, seed: int = 0, size: tuple[int, int] = (128, 128)) -> None:
        self.num_images = require_int("num_images", num_images)
        self.seed, self.size = _require_seed(seed), _require_image_size(size)
        self.classes = CLASSES

    def __len__(self) -> int:
        return self.num_images

    def __getitem__(self, index: int) -> tuple[Float[Tensor, "3 H W"], dict[str, Any]]:
        """Draw image `index`.

        Returns:
            RGB in [0, 1], and a target: "labels" (n,) int64, "boxes" (n, 4) as (cx, cy, w, h) in [0, 1],
            "area" (n,) of the boxes in square pixels, and "image_id".
        Raises:
            IndexError: if `index` is not in the set.
        """
        position = int(index) + self.num_images if index < 0 else int(index)
        if not 0 <= position < self.num_images:
            raise IndexError(f"index {index} is out of range for {self.num_images} images")
        picture = draw(position, self.seed, self.size)
        corners = torch.tensor(picture.boxes, dtype=torch.float64).reshape(-1, 4)
        target = {
            "labels": torch.tensor([shape.label for shape in picture.shapes], dtype=torch.int64),
            "boxes": xyxy_to_cxcywh(to_relative(corners, self.size)).float(),
            "area": (corners[:, 2:] - corners[:, :2]).prod(dim=1).float(),
            "image_id": position,
        }
        pixels = torch.from_numpy(picture.pixels).permute(2, 0, 1).contiguous()
        return pixels.float() / 255, target


def collate(
    items: Sequence[tuple[Float[Tensor, "3 _ _"], dict[str, Any]]],
) -> tuple[PaddedBatch, list[dict[str, Any]]]:
    """Make a batch of a data set's items: normalize the images, then pad them.

    Args:
        items: (image in [0, 1], target) pairs.
    Returns:
        The padded batch, and the targets in the same order.
    Raises:
        TypeError, ValueError: if there is no item, or an image is not a floating point (3, H, W) tensor.
    Source: DETR (arXiv 2005.12872), `collate_fn`; taught in notebooks/18_training.ipynb.
    """
    pairs = require_list("items", items, "(image, target) pairs")
    return pad_images([normalize_image(image) for image, _ in pairs]), [target for _, target in pairs]


def draw(index: int, seed: int = 0, size: tuple[int, int] = (128, 128)) -> Picture:
    """Draw one image of the set.

    The numbers come from a counter-based generator with the key (seed, index). After that there are only
    operations that every machine rounds alike (no sine, no sum of floats), and pixels are blended in
    integers.

    Args:
        index: of the image, at least 0.
        seed: of the set, at least 0.
        size: (height, width) in pixels, each at least 16.
    Returns:
        The picture and its objects.
    Raises:
        TypeError, ValueError: if an argument is not as described.
    Source: ours; taught in notebooks/18_training.ipynb.
    """
    size = _require_image_size(size)
    draws = _Draws(_require_seed(seed), require_int("index", index, minimum=0))
    is_empty, count = draws.uniform(2)
    canvas = _background(draws, size)
    drawing = Picture(canvas, [], [])
    owner = np.zeros(size, dtype=np.uint8)  # 0: background; k: object k - 1 is what one sees here
    total, seen = [0], [0]  # pixels of each object, and how many are still seen
    painted = [np.zeros(3, dtype=np.int32)]  # the color of each object
    for _ in range(0 if is_empty < EMPTY else 1 + int(count * MAX_OBJECTS)):
        candidates = _candidates(draws, size)
        colors = (np.array(draws.uniform(18)) * 256).astype(np.int32).reshape(6, 3)
        for shape in candidates:
            (top, left), opacity = _coverage(shape, size)
            window = (slice(top, top + opacity.shape[0]), slice(left, left + opacity.shape[1]))
            inside = opacity >= 128
            covered = np.bincount(owner[window][inside], minlength=len(total)).tolist()
            if any(seen[k] - covered[k] < VISIBLE * total[k] for k in range(1, len(total))):
                continue
            background = canvas[window][inside & (owner[window] == 0)]
            beneath = [background.sum(axis=0) // len(background)] if len(background) else []
            beneath += [painted[k] for k in range(1, len(total)) if covered[k]]
            color = _standing_out(colors, beneath)
            canvas[window] += ((color - canvas[window]) * opacity[:, :, None] + 128) >> 8
            seen = [seen[k] - covered[k] for k in range(len(total))] + [int(inside.sum())]
            total.append(seen[-1])
            painted.append(color)
            owner[window][inside] = len(total) - 1
            drawing.shapes.append(shape)
            drawing.boxes.append(shape_box(shape, size))
            break
    return drawing._replace(pixels=canvas.astype(np.uint8))


def outline(shape: Shape) -> Float64[np.ndarray, "n 2"]:
    """Give the corners of a shape's outline; a circle and a ring have 64.

    Args:
        shape: the object.
    Returns:
        (x, y) in pixels, in the order of the outline; also outside of the image.
    Source: ours; taught in notebooks/18_training.ipynb.
    """
    longer = math.sqrt(shape.stretch)
    u = _OUTLINES[shape.label][:, 0] * (shape.scale * longer)
    v = _OUTLINES[shape.label][:, 1] * (shape.scale / longer)
    x = u * shape.cosine - v * shape.sine + shape.x
    y = u * shape.sine + v * shape.cosine + shape.y
    return np.stack([x, y], axis=1)


def shape_box(shape: Shape, size: tuple[int, int]) -> tuple[float, float, float, float]:
    """Find the box that is tight around the part of a shape that is inside the image.

    Cutting the box of the whole shape at the border would not do: the top of a triangle may lie outside to
    the left, and the part inside begins lower.

    Args:
        shape: the object, with its center inside the image.
        size: (height, width) of the image in pixels.
    Returns:
        (x1, y1, x2, y2) in pixels.
    Source: clipping a polygon edge by edge (Sutherland and Hodgman, 1974); taught in
    notebooks/18_training.ipynb.
    """
    points = outline(shape)
    for axis, end in ((0, size[1]), (1, size[0])):
        if points[:, axis].min() < 0:
            points = _keep_above(points, axis, 0.0, 1)
        if points[:, axis].max() > end:
            points = _keep_above(points, axis, float(end), -1)
    (x1, y1), (x2, y2) = points.min(axis=0).tolist(), points.max(axis=0).tolist()
    return x1, y1, x2, y2


def coverage(shape: Shape, size: tuple[int, int]) -> Int32[np.ndarray, "H W"]:
    """Say how much of each pixel a shape covers.

    Args:
        shape: the object.
        size: (height, width) of the image in pixels.
    Returns:
        0 (nothing) to 256 (all of the pixel).
    Source: ours, from the distance to the outline; taught in notebooks/18_training.ipynb.
    """
    (top, left), opacity = _coverage(shape, size)
    image = np.zeros(size, dtype=np.int32)
    image[top : top + opacity.shape[0], left : left + opacity.shape[1]] = opacity
    return image


def export(folder: Path, num_images: int, seed: int = 0, size: tuple[int, int] = (128, 128)) -> None:
    """Write a set as PNG files and `annotations.json` in COCO format, with category ids from 1.

    Args:
        folder: a new or an empty folder.
        num_images: how many images.
        seed: of the set, at least 0.
        size: (height, width) in pixels, each at least 16.
    Raises:
        FileExistsError: if `folder` holds something, or is a file.
        TypeError, ValueError: if an argument is not as described.
    Source: the COCO data format; taught in notebooks/18_training.ipynb.
    """
    dataset = ShapesDataset(num_images, seed, size)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise FileExistsError(f"{folder} is not an empty folder: name a new one")
    (folder / "images").mkdir(parents=True)
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for index in range(len(dataset)):
        picture = draw(index, seed, size)
        name = f"{index:06d}.png"
        Image.fromarray(picture.pixels).save(folder / "images" / name)
        images.append({"id": index + 1, "file_name": name, "height": size[0], "width": size[1]})
        for shape, (x1, y1, x2, y2) in zip(picture.shapes, picture.boxes, strict=True):
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": index + 1,
                    "category_id": shape.label + 1,
                    "bbox": [x1, y1, x2 - x1, y2 - y1],
                    "area": (x2 - x1) * (y2 - y1),
                    "iscrowd": 0,
                }
            )
    content = {
        "info": {"description": "Synthetic shapes", "seed": seed},
        "images": images,
        "annotations": annotations,
        "categories": [{"id": label + 1, "name": name} for label, name in enumerate(CLASSES)],
    }
    (folder / "annotations.json").write_text(json.dumps(content), encoding="utf-8")


class _Draws:
    """Numbers from Philox with the key (seed, index); its raw integers are the same in every numpy."""

    def __init__(self, seed: int, index: int) -> None:
        self._generator = np.random.Philox(key=np.array([seed, index], dtype=np.uint64))

    def uniform(self, count: int) -> list[float]:
        """Floats in [0, 1)."""
        return ((self._generator.random_raw(count) >> np.uint64(11)) * 2.0**-53).tolist()

    def noise(self, *shape: int) -> Int32[np.ndarray, "..."]:
        """Integers from -128 to 127."""
        count = math.prod(shape)
        words = self._generator.random_raw(-(-count // 8)).astype("<u8")
        return words.view(np.uint8)[:count].reshape(shape).astype(np.int32) - 128


def _candidates(draws: _Draws, size: tuple[int, int]) -> list[Shape]:
    """One object at several places."""
    kind, length, position, stretch, tangent, quarter = draws.uniform(6)
    label = int(kind * len(CLASSES))
    shortest, longest = SIDES[int(length * len(SIDES))]
    side = min(shortest + position * (longest - shortest), LONGEST_SIDE * min(size))
    # The tangent of half the angle gives sine and cosine by division alone: up to 45 degrees to either side.
    t = (2 * tangent - 1) * 0.41421356
    cosine, sine = (1 - t * t) / (1 + t * t), 2 * t / (1 + t * t)
    for _ in range(int(quarter * 4)):
        cosine, sine = -sine, cosine
    unit = Shape(label, 0.0, 0.0, 1.0, 1 + stretch * (STRETCH - 1), cosine, sine)
    points = outline(unit)
    lowest, extent = points.min(axis=0).tolist(), (points.max(axis=0) - points.min(axis=0)).tolist()
    scale = side / math.sqrt(extent[0] * extent[1])
    places = draws.uniform(2 * TRIES)
    shapes = []
    for x, y in zip(places[::2], places[1::2], strict=True):
        # where the box begins, and from there where the center is
        left, top = (
            -OUTSIDE * scale * extent[axis] + part * (end - (1 - 2 * OUTSIDE) * scale * extent[axis])
            for axis, part, end in ((0, x, size[1]), (1, y, size[0]))
        )
        shapes.append(unit._replace(x=left - scale * lowest[0], y=top - scale * lowest[1], scale=scale))
    return shapes


def _coverage(shape: Shape, size: tuple[int, int]) -> tuple[tuple[int, int], Int32[np.ndarray, "h w"]]:
    """The window around a shape: (top, left), and how much of each of its pixels is covered, 0 to 256."""
    reach = shape.scale * 1.42 * math.sqrt(shape.stretch) + 1
    top, bottom = max(0, math.floor(shape.y - reach)), min(size[0], math.ceil(shape.y + reach))
    left, right = max(0, math.floor(shape.x - reach)), min(size[1], math.ceil(shape.x + reach))
    longer = math.sqrt(shape.stretch)
    x = np.arange(left, right, dtype=np.float32) + np.float32(0.5 - shape.x)
    y = (np.arange(top, bottom, dtype=np.float32) + np.float32(0.5 - shape.y))[:, None]
    # pixel centers in the shape's own coordinates: turned back and measured along its two axes
    u = x * (shape.cosine / (shape.scale * longer)) + y * (shape.sine / (shape.scale * longer))
    v = y * (shape.cosine * longer / shape.scale) - x * (shape.sine * longer / shape.scale)
    distance = _DISTANCES[CLASSES[shape.label]](u, v) * shape.scale  # in pixels, negative inside
    return (top, left), (np.clip(0.5 - distance, 0, 1) * 256 + 0.5).astype(np.int32)


def _standing_out(
    colors: Int32[np.ndarray, "candidates 3"], beneath: Sequence[np.ndarray]
) -> Int32[np.ndarray, "3"]:
    """The first color that is far enough from all those beneath; if there is none, the farthest one."""
    colors = np.concatenate([colors, _PURE_COLORS])
    differences = colors[:, None] - np.stack(beneath)
    nearest = (differences * differences).sum(axis=2).min(axis=1)
    far = nearest >= CONTRAST**2
    return colors[far.argmax() if far.any() else nearest.argmax()]


def _background(draws: _Draws, size: tuple[int, int]) -> Int32[np.ndarray, "H W 3"]:
    kind, which, top, left, flip, light = draws.uniform(6)
    if kind < NOISE:
        base = (np.array(draws.uniform(3)) * 256).astype(np.int32)
        cell = 2 ** (1 + int(which * 4))  # colored squares of 2 to 16 pixels, and fine grain
        coarse = draws.noise(-(-size[0] // cell), -(-size[1] // cell), 3) * int(light * 128) >> 8
        squares = coarse[np.arange(size[0]) // cell][:, np.arange(size[1]) // cell]
        return np.clip(base + squares + (draws.noise(*size, 3) >> 3), 0, 255)
    photographs = _photographs()
    photograph = photographs[int(which * len(photographs))]
    rows = _reflect(int(top * photograph.shape[0]), size[0], photograph.shape[0])
    columns = _reflect(int(left * photograph.shape[1]), size[1], photograph.shape[1])
    crop = photograph[rows][:, columns[::-1] if flip < 0.5 else columns].astype(np.int32)
    return crop * (128 + int(light * 129)) >> 8  # between half and all of its brightness


@lru_cache(maxsize=1)
def _photographs() -> list[UInt8[np.ndarray, "_ _ 3"]]:
    """The shipped photographs, each at its own size and at half of it.

    Every published build of Pillow decodes JPEG with libjpeg-turbo, to the same bits on every machine.
    """
    pictures = []
    for name in photos.names():
        pixels = (photos.load(name) * 255).round().to(torch.uint8).numpy()
        full = np.ascontiguousarray(rearrange(pixels, "channel H W -> H W channel"))
        even = full[: full.shape[0] // 2 * 2, : full.shape[1] // 2 * 2].astype(np.int32)
        blocks = even[::2, ::2] + even[1::2, ::2] + even[::2, 1::2] + even[1::2, 1::2]
        pictures += [full, (blocks >> 2).astype(np.uint8)]
    return pictures


def _reflect(start: int, count: int, length: int) -> np.ndarray:
    """`count` indices from `start` on, turning round at either end of `length`."""
    index = np.arange(start, start + count) % (2 * length)
    return np.where(index < length, index, 2 * length - 1 - index)


def _keep_above(
    points: Float64[np.ndarray, "n 2"], axis: int, limit: float, sign: int
) -> Float64[np.ndarray, "k 2"]:
    """Cut a polygon at a line across an axis: keep what is above the limit (sign 1) or below it (sign -1)."""
    height = (points[:, axis] - limit) * sign
    following, following_height = np.roll(points, -1, axis=0), np.roll(height, -1)
    crosses = (height < 0) != (following_height < 0)
    part = (height[crosses] / (height[crosses] - following_height[crosses]))[:, None]
    crossings = points[crosses] + part * (following[crosses] - points[crosses])
    crossings[:, axis] = limit
    position = np.concatenate([np.flatnonzero(height >= 0) * 2, np.flatnonzero(crosses) * 2 + 1])
    return np.concatenate([points[height >= 0], crossings])[np.argsort(position)]


def _on_circle(count: int, radius: float = 1.0, turn: float = 0.0) -> Float64[np.ndarray, "n 2"]:
    """Points at equal angles, the first at `turn` of a whole turn; rounded: machines differ in the sine."""
    angles = [2 * math.pi * (k / count + turn) for k in range(count)]
    return np.array([[round(radius * f(a), 6) for f in (math.cos, math.sin)] for a in angles])


_PURE_COLORS = np.array([[r, g, b] for r in (0, 255) for g in (0, 255) for b in (0, 255)], dtype=np.int32)

# The first corner points to the right.
_PENTAGRAM = 0.309017  # distance of a star's five lines from its center, when its tips have distance 1
_STAR_NORMALS = _on_circle(5)
_TRIANGLE_NORMALS = _on_circle(3, turn=1 / 6)
_CROSS = [(1, ARM), (ARM, ARM), (ARM, 1), (-ARM, 1), (-ARM, ARM), (-1, ARM)]
_OUTLINES = (
    _on_circle(64),
    np.array([(1.0, 1.0), (-1.0, 1.0), (-1.0, -1.0), (1.0, -1.0)]),
    _on_circle(3),
    np.stack([_on_circle(5), _on_circle(5, 0.381966, turn=0.1)], axis=1).reshape(10, 2),
    np.array([*_CROSS, *((-x, -y) for x, y in _CROSS)], dtype=np.float64),
    _on_circle(64),
)


def _lines(u: np.ndarray, v: np.ndarray, normals: np.ndarray, offset: float) -> np.ndarray:
    """Signed distances to lines around the center."""
    return np.stack([u * x + v * y - offset for x, y in normals.tolist()])


def _cross(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    u, v = abs(u), abs(v)
    longer, shorter = np.maximum(u, v), np.minimum(u, v)
    return np.maximum(longer - 1, shorter - ARM)


# Distance to the outline in the shape's own coordinates, negative inside.
_DISTANCES = {
    "circle": lambda u, v: np.sqrt(u * u + v * v) - 1,
    "square": lambda u, v: np.maximum(abs(u), abs(v)) - 1,
    "triangle": lambda u, v: _lines(u, v, _TRIANGLE_NORMALS, 0.5).max(axis=0),
    # a star is what lies on the inner side of at least four of its five lines
    "star": lambda u, v: np.partition(_lines(u, v, _STAR_NORMALS, _PENTAGRAM), 3, axis=0)[3],
    "cross": _cross,
    "ring": lambda u, v: abs(np.sqrt(u * u + v * v) - (1 + HOLE) / 2) - (1 - HOLE) / 2,
}


def _require_seed(seed: Any) -> int:
    if require_int("seed", seed, minimum=0) >= 2**64:
        raise ValueError(f"seed must be below 2**64, got {seed}")
    return seed


def _require_image_size(size: Any) -> tuple[int, int]:
    height, width = require_size("size", size)
    if min(height, width) < MIN_SIZE:
        raise ValueError(f"size must be at least {MIN_SIZE} in height and width, got ({height}, {width})")
    return height, width


def main(arguments: Sequence[str] | None = None) -> None:
    """Write a set to a folder: what `python -m detr_tutorial.data.shapes` does.

    Args:
        arguments: of the command line; None takes the program's own.
    Source: ours; taught in notebooks/18_training.ipynb.
    """
    parser = argparse.ArgumentParser(
        prog="python -m detr_tutorial.data.shapes",
        description="Write synthetic shapes as PNG files with annotations in COCO format.",
    )
    parser.add_argument("--out", type=Path, required=True, help="a new or an empty folder")
    parser.add_argument("--images", type=int, required=True, help="how many images")
    parser.add_argument("--seed", type=int, default=0, help="of the set (default 0)")
    parser.add_argument("--height", type=int, default=128, help="in pixels (default 128)")
    parser.add_argument("--width", type=int, default=128, help="in pixels (default 128)")
    chosen = parser.parse_args(arguments)
    try:
        export(chosen.out, chosen.images, chosen.seed, (chosen.height, chosen.width))
    except (OSError, ValueError) as error:
        parser.exit(2, f"{parser.prog}: {error}\n")
    sys.stdout.write(f"{chosen.images} images and annotations.json in {chosen.out}\n")


if __name__ == "__main__":
    main()
