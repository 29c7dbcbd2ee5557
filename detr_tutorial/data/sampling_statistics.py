"""Where a detector looks, in numbers: what the points of one picture of shapes do, and what came out of many.

`measure_sampling` turns the sampling records of one picture into small tables; `measure_field` asks by
gradients which pixels a token depends on. `benchmarks/sampling_statistics.py` runs both over held-out
pictures, with trained and with untrained weights, and `load_sampling_statistics` reads the outcome.

Taught in notebooks/20_sampling_points_on_images.ipynb.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch
from einops import rearrange, reduce
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from detr_tutorial._validation import require_tensor
from detr_tutorial.data.shapes import Picture, ShapesDataset, collate, coverage, draw
from detr_tutorial.deformable_attention import SamplingRecord, star_offsets
from detr_tutorial.deformable_detr import DeformableDETR
from detr_tutorial.detections import DeformableRecords
from detr_tutorial.matching import hungarian_match
from detr_tutorial.padding import PaddedBatch
from detr_tutorial.reference_points import cell_centers, encoder_reference_points

PATH = Path(__file__).parent / "sampling_statistics.json"
SIZES = ("small", "medium", "large")  # below 16 x 16 pixels, up to 32 x 32, and above
TOKEN_GROUPS = (*SIZES, "background")  # what is at the center of a token's cell
OBJECT_GROUPS = (*SIZES, "all")
STRIDE = 8  # of the finest level, in pixels

Measures = dict[str, Tensor]


class Scene(NamedTuple):
    """A picture of shapes and what is where in it; n objects, Q tokens of the finest level."""

    batch: PaddedBatch  # of one image
    target: dict[str, Any]
    seen: Bool[Tensor, "n+1 H W"]  # the visible pixels of each object, and last of the background
    sizes: Int64[Tensor, "n"]  # of each object, index into SIZES
    centers: Float[Tensor, "Q 2"]  # of the tokens' cells, (x, y) in [0, 1]
    owners: Int64[Tensor, "Q"]  # what is at each center: an object, or n for the background
    groups: Int64[Tensor, "Q"]  # index into TOKEN_GROUPS


def load_sampling_statistics() -> dict[str, Any]:
    """Read the statistics that come with the package.

    Returns:
        "settings" and "machine" of the run; and under "trained" and "untrained" one entry a measure of
        `measure_sampling` and `measure_field`, with "mean", "sd", "q1", "median", "q3" and "images" (how many
        have a value) over the pictures, and "first": the values of the first pictures. None for no value.
    Source: ours, by `python benchmarks/sampling_statistics.py`; taught in
    notebooks/20_sampling_points_on_images.ipynb.
    """
    return json.loads(PATH.read_text(encoding="utf-8"))


def visible_pixels(picture: Picture) -> Bool[Tensor, "n H W"]:
    """Say which pixels show each object: at least half covered by it, and not by a later one.

    Args:
        picture: from `detr_tutorial.data.shapes.draw`.
    Returns:
        (n, H, W), True where object n is what one sees.
    Source: ours; taught in notebooks/20_sampling_points_on_images.ipynb.
    """
    height, width = picture.pixels.shape[:2]
    owner = torch.full((height, width), -1)
    for number, shape in enumerate(picture.shapes):
        owner[torch.from_numpy(coverage(shape, (height, width)) >= 128)] = number
    return owner == rearrange(torch.arange(len(picture.shapes)), "n -> n 1 1")


def inside_masks(
    masks: Bool[Tensor, "n H W"], points: Float[Tensor, "n *points 2"]
) -> Bool[Tensor, "n *points"]:
    """Look up points in masks, each row in its own; what is outside the picture is outside of every mask.

    Args:
        masks: (n, H, W).
        points: (n, ..., 2) as (x, y), 0 and 1 at the edges of the picture.
    Returns:
        (n, ...), True where the pixel under the point belongs to the mask.
    Raises:
        ValueError: if shapes are others, or the rows are not as many.
    Source: ours; taught in notebooks/20_sampling_points_on_images.ipynb.
    """
    _require_rows("masks", masks, 3, points)
    height, width = masks.shape[1:]
    column, row = (points * points.new_tensor([width, height])).floor().long().unbind(-1)
    in_picture = (column >= 0) & (column < width) & (row >= 0) & (row < height)
    pixel = row.clamp(0, height - 1) * width + column.clamp(0, width - 1)
    return masks.flatten(1).gather(1, pixel.flatten(1)).view_as(in_picture) & in_picture


def inside_boxes(
    boxes: Float[Tensor, "n 4"], points: Float[Tensor, "n *points 2"]
) -> Bool[Tensor, "n *points"]:
    """Say which points lie in the box of their row, or on its edge.

    Args:
        boxes: (n, 4) as (cx, cy, w, h), in the units of the points.
        points: (n, ..., 2) as (x, y).
    Returns:
        (n, ...).
    Raises:
        ValueError: if shapes are others, or the rows are not as many.
    Source: ours; taught in notebooks/20_sampling_points_on_images.ipynb.
    """
    _require_rows("boxes", boxes, 2, points)
    centers, sizes = _like_points(boxes, points).split(2, dim=-1)
    return ((points - centers).abs() <= sizes / 2 + 1e-6).all(dim=-1)


def effective_points(weights: Float[Tensor, "*heads L K"]) -> Float[Tensor, "*heads"]:
    """Count the points that a head really uses: the exponential of the entropy of its weights.

    Args:
        weights: (..., L, K), with a sum of 1 over levels and points.
    Returns:
        (...), from 1 (one point has all the weight) to L K (all points have the same).
    Raises:
        TypeError, ValueError: if `weights` is not a floating-point tensor of at least two axes.
    Source: ours; taught in notebooks/20_sampling_points_on_images.ipynb.
    """
    require_tensor("weights", weights, "... L K")
    return torch.special.entr(weights).sum(dim=(-2, -1)).exp()


def measure_sampling(model: DeformableDETR, index: int, seed: int) -> Measures:
    """Measure where a model looks in one picture of shapes.

    "encoder." measures have an axis of layers and one of `TOKEN_GROUPS`: the tokens of the finest level, by
    what one sees at the center of their cell. "decoder." measures have an axis of layers and one of
    `OBJECT_GROUPS`: the queries that are matched to an object. Each is a mean over tokens or queries:

    - points_in_object, weight_in_object, weight_in_box: share of the points, and of all heads' weight, on the
      visible pixels of the object that the token or query is on, and in its box (of a background token: on
      the background, and in the picture); points_in_box, and in_own_box for the box that is the reference;
    - weight_in_object_turned, weight_in_box_turned: the same with all steps from the reference turned by one,
      two and three quarters, on average: the same distances and weights in other directions;
    - star_in_object, star_in_box: the same with the offsets and equal weights of the start, same references;
    - object_share, box_share: what a point anywhere in the picture would get;
    - outside, distance, reach: weight outside the picture; mean distance of the weight from the reference in
      pixels, and with the half sides of the reference box as units;
    - level_weight (a further axis of levels), and level_weight_inside: only what lies in the picture;
    - effective_points, largest_weight, and sorted_weights (layers, L K) over all tokens or queries;
    - direction (layers, M, 2): mean unit step of a head, weighted; offset_size, offset_moved, offset_spread
      (layers): root mean square of the offsets, of their mean from the start, and of them from their mean, in
      cells around points and in half sides around boxes.

    Args:
        model: a two-stage detector of the shapes.
        index: of the picture.
        seed: of the set of pictures.
    Returns:
        The measures; NaN where the picture has no such token or object.
    Source: ours; taught in notebooks/20_sampling_points_on_images.ipynb.
    """
    scene = look_at(index, seed)
    with torch.no_grad():
        detections = model(scene.batch, record_sampling=True)
    assert isinstance(detections.sampling, DeformableRecords)
    tokens = len(scene.centers)
    encoder = [
        _measure_tokens(SamplingRecord(record.locations[0, :tokens], record.weights[0, :tokens]), scene)
        for record in detections.sampling.encoder
    ]
    queries, objects = hungarian_match(detections.logits, detections.boxes, [scene.target])[0]
    decoder = [
        _measure_queries(
            SamplingRecord(record.locations[0, queries], record.weights[0, queries]),
            references[0, queries],
            scene,
            objects,
        )
        for record, references in zip(
            detections.sampling.decoder, detections.sampling.references, strict=True
        )
    ]
    return {
        f"{part}.{name}": torch.stack([layer[name] for layer in layers])
        for part, layers in (("encoder", encoder), ("decoder", decoder))
        for name in layers[0]
    }


def measure_field(model: DeformableDETR, index: int, seed: int) -> Measures:
    """Measure by gradients how far the pixels lie that a token depends on.

    For one token of the finest level in each of `TOKEN_GROUPS`, before the encoder and after each of its
    layers: "field.half" and "field.most" are the radii, in pixels, of the circles around the token that hold
    half and nine tenths of the sum of |gradient| over all pixels, and "field.in_object" is the share of it on
    the visible pixels of the token's object.

    Args:
        model: a detector of the shapes.
        index: of the picture.
        seed: of the set of pictures.
    Returns:
        The measures, each with an axis of 1 + E stages and one of groups; NaN where there is no such token.
    Source: the effective receptive field of Luo et al. (arXiv 1701.04128); taught in
    notebooks/20_sampling_points_on_images.ipynb.
    """
    scene = look_at(index, seed)
    chosen = [
        int(scene.groups.eq(group).nonzero()[:, 0].median()) if scene.groups.eq(group).any() else None
        for group in range(len(TOKEN_GROUPS))
    ]
    height, width = scene.batch.pixels.shape[2:]
    y, x = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij")
    found: dict[str, list[Tensor]] = {"half": [], "most": [], "in_object": []}
    for token in chosen:
        if token is None:
            for values in found.values():
                values.append(torch.full((1 + len(model.encoder.layers),), torch.nan))
            continue
        maps = pixel_gradients(model, scene.batch, token)
        center = scene.centers[token] * torch.tensor([width, height])
        distance = torch.hypot(x - center[0], y - center[1]).flatten()
        order = distance.argsort()
        within = maps.flatten(1)[:, order].cumsum(dim=1) / maps.sum(dim=(1, 2))[:, None]
        for name, part in (("half", 0.5), ("most", 0.9)):
            found[name].append(distance[order][(within < part).sum(dim=1)])
        found["in_object"].append(
            (maps * scene.seen[scene.owners[token]]).sum(dim=(1, 2)) / maps.sum(dim=(1, 2))
        )
    return {f"field.{name}": torch.stack(values, dim=1) for name, values in found.items()}


def pixel_gradients(
    model: DeformableDETR, batch: PaddedBatch, token: int, probes: int = 2
) -> Float[Tensor, "stages H W"]:
    """Say how strongly a token depends on each pixel, before the encoder and after each of its layers.

    The exact size of the Jacobian would take a backward pass for each of the C channels. A sum of the
    channels with random signs has the same size on average, and takes one.

    Args:
        model: its weights stay as they are.
        batch: of one image.
        token: index among the S tokens.
        probes: how many sums with random signs; always the same ones.
    Returns:
        (1 + E, H, W), root mean square over the probes, summed over the colors.
    Source: Hutchinson's estimator; taught in notebooks/20_sampling_points_on_images.ipynb.
    """
    generator = torch.Generator().manual_seed(0)
    pixels = batch.pixels.clone().requires_grad_()
    flattened = model.flatten(PaddedBatch(pixels, batch.mask))
    references = encoder_reference_points(flattened.spatial_shapes, flattened.valid_ratios)
    stages = [flattened.tokens]
    for layer in model.encoder.layers:
        tokens, _ = layer(
            stages[-1], flattened.positions, references, flattened.spatial_shapes, flattened.mask
        )
        stages.append(tokens)
    maps = []
    for tokens in stages:
        signs = torch.randint(0, 2, (probes, tokens.shape[-1]), generator=generator) * 2.0 - 1
        sums = (tokens[0, token] * signs).sum(dim=1)
        gradients = [torch.autograd.grad(probe, pixels, retain_graph=True)[0][0] for probe in sums]
        maps.append(torch.stack(gradients).pow(2).sum(dim=1).mean(dim=0).sqrt())
    return torch.stack(maps)


def look_at(index: int, seed: int) -> Scene:
    """Draw a picture of shapes, and say what each token of the finest level sees.

    Args:
        index: of the picture.
        seed: of the set of pictures.
    Returns:
        The scene.
    Source: ours; taught in notebooks/20_sampling_points_on_images.ipynb.
    """
    picture = draw(index, seed)
    batch, (target,) = collate([ShapesDataset(index + 1, seed)[index]])
    masks = visible_pixels(picture)
    seen = torch.cat([masks, ~masks.any(dim=0, keepdim=True)])
    side, border = 16**2, 32**2
    sizes = (target["area"] >= side).long() + (target["area"] > border).long()
    height, width = (length // STRIDE for length in picture.pixels.shape[:2])
    centers = cell_centers([(height, width)], torch.ones(1, 1, 2))[0]
    here = inside_masks(seen, centers.expand(len(seen), -1, -1))
    owners = here.long().argmax(dim=0)
    groups = torch.cat([sizes, torch.tensor([len(SIZES)])])
    return Scene(batch, target, seen, sizes, centers, owners, groups[owners])


def _require_rows(name: str, areas: Tensor, axes: int, points: Tensor) -> None:
    if areas.ndim != axes:
        raise ValueError(f"{name} must have {axes} axes, got shape {tuple(areas.shape)}")
    if points.ndim < 2 or points.shape[0] != len(areas) or points.shape[-1] != 2:
        expected = f"({len(areas)}, ..., 2), a row for each of {name}"
        raise ValueError(f"points must have shape {expected}, got {tuple(points.shape)}")


def _measure_tokens(record: SamplingRecord, scene: Scene) -> Measures:
    """One encoder layer; a row a token of the finest level."""
    locations, weights = record
    share = weights / weights.shape[1]
    steps = locations - _like_points(scene.centers, locations)
    turned = _turned(steps) + _like_points(scene.centers, locations)
    seen = scene.seen[scene.owners]
    whole = scene.target["boxes"].new_tensor([[0.5, 0.5, 1.0, 1.0]])
    boxes = torch.cat([scene.target["boxes"], whole])[scene.owners]
    on_objects = ~scene.seen[-1:].expand(len(seen), -1, -1)
    height, width = scene.seen.shape[1:]
    levels = torch.arange(weights.shape[2])
    cells = torch.stack([width // STRIDE / 2.0**levels, height // STRIDE / 2.0**levels], dim=-1)
    inside = inside_boxes(whole.expand(len(seen), -1), locations)
    tables = {
        "points_in_object": inside_masks(seen, locations).float().mean(dim=(1, 2, 3)),
        "weight_in_object": _sum(share * inside_masks(seen, locations)),
        "weight_in_object_turned": _sum(share * _over_turns(inside_masks, seen, turned)),
        "weight_in_box": _sum(share * inside_boxes(boxes, locations)),
        "object_share": seen.float().mean(dim=(1, 2)),
        "weight_on_objects": _sum(share * inside_masks(on_objects, locations)),
        "objects_share": on_objects.float().mean(dim=(1, 2)),
        "outside": _sum(share * ~inside),
        "distance": _sum(share * (steps * torch.tensor([width, height])).norm(dim=-1)),
        "level_weight_inside": reduce(share * inside, "Q M L K -> Q L", "sum"),
        **_weight_tables(weights),
    }
    by_group = {name: _by_group(values, scene.groups) for name, values in tables.items()}
    return by_group | _over_all(steps * cells[:, None], weights)


def _measure_queries(
    record: SamplingRecord, references: Float[Tensor, "Q 4"], scene: Scene, objects: Int64[Tensor, "Q"]
) -> Measures:
    """One decoder layer; a row a query that is matched to an object."""
    locations, weights = record
    _, heads, num_levels, num_points = weights.shape
    share = weights / heads
    seen, boxes, sizes = scene.seen[objects], scene.target["boxes"][objects], scene.sizes[objects]
    centers, half_sides = (
        _like_points(part, locations) for part in (references[:, :2], references[:, 2:] / 2)
    )
    steps = locations - centers
    turned = _turned(steps) + centers
    star = star_offsets(heads, num_levels, num_points) / num_points * half_sides + centers
    height, width = scene.seen.shape[1:]
    in_picture = inside_boxes(torch.tensor([[0.5, 0.5, 1.0, 1.0]]).expand(len(boxes), -1), locations)
    tables = {
        "points_in_object": inside_masks(seen, locations).float().mean(dim=(1, 2, 3)),
        "points_in_box": inside_boxes(boxes, locations).float().mean(dim=(1, 2, 3)),
        "weight_in_object": _sum(share * inside_masks(seen, locations)),
        "weight_in_box": _sum(share * inside_boxes(boxes, locations)),
        "weight_in_own_box": _sum(share * inside_boxes(references, locations)),
        "weight_in_object_turned": _sum(share * _over_turns(inside_masks, seen, turned)),
        "weight_in_box_turned": _sum(share * _over_turns(inside_boxes, boxes, turned)),
        "star_in_object": inside_masks(seen, star).float().mean(dim=(1, 2, 3)),
        "star_in_box": inside_boxes(boxes, star).float().mean(dim=(1, 2, 3)),
        "object_share": seen.float().mean(dim=(1, 2)),
        "box_share": boxes[:, 2] * boxes[:, 3],
        "outside": _sum(share * ~in_picture),
        "distance": _sum(share * (steps * torch.tensor([width, height])).norm(dim=-1)),
        "reach": _sum(share * (steps / half_sides).abs().amax(dim=-1)),
        **_weight_tables(weights),
    }
    groups = torch.cat([sizes, torch.full_like(sizes, len(SIZES))])  # each by its size, and all again
    by_group = {name: _by_group(torch.cat([values, values]), groups) for name, values in tables.items()}
    return by_group | _over_all(steps / half_sides, weights, in_box_units=True)


def _weight_tables(weights: Float[Tensor, "Q M L K"]) -> Measures:
    return {
        "level_weight": reduce(weights, "Q M L K -> Q L", "sum") / weights.shape[1],
        "effective_points": effective_points(weights).mean(dim=1),
        "largest_weight": reduce(weights, "Q M L K -> Q M", "max").mean(dim=1),
    }


def _over_all(
    offsets: Float[Tensor, "Q M L K 2"], weights: Float[Tensor, "Q M L K"], in_box_units: bool = False
) -> Measures:
    """What is a mean over all rows: weights in their order, and steps of the heads."""
    units = offsets / offsets.norm(dim=-1, keepdim=True).clamp(min=1e-9)
    start = star_offsets(*weights.shape[1:]) / (weights.shape[3] if in_box_units else 1)
    middle = offsets.mean(dim=0)
    ordered = rearrange(weights, "Q M L K -> Q M (L K)").sort(dim=-1, descending=True).values
    return {
        "sorted_weights": ordered.mean(dim=(0, 1)),
        "direction": reduce(units * weights[..., None], "Q M L K xy -> Q M xy", "sum").mean(dim=0),
        "offset_size": offsets.pow(2).sum(dim=-1).mean().sqrt(),
        "offset_moved": (middle - start).pow(2).sum(dim=-1).mean().sqrt(),
        "offset_spread": (offsets - middle).pow(2).sum(dim=-1).mean().sqrt(),
    }


def _like_points(rows: Float[Tensor, "n numbers"], points: Tensor) -> Tensor:
    """Give a row of numbers as many axes as its points have."""
    return rows.view(len(rows), *[1] * (points.ndim - 2), rows.shape[-1])


def _turned(steps: Float[Tensor, "*n 2"]) -> Float[Tensor, "turns *n 2"]:
    """Steps turned by one, two and three quarters."""
    x, y = steps.unbind(dim=-1)
    return torch.stack([torch.stack(turn, dim=-1) for turn in ((-y, x), (-x, -y), (y, -x))])


def _over_turns(hit: Callable[[Tensor, Tensor], Tensor], areas: Tensor, turned: Tensor) -> Tensor:
    return torch.stack([hit(areas, points) for points in turned]).float().mean(dim=0)


def _sum(values: Float[Tensor, "Q M L K"]) -> Float[Tensor, "Q"]:
    return values.sum(dim=(1, 2, 3))


def _by_group(values: Float[Tensor, "Q ..."], groups: Int64[Tensor, "Q"]) -> Float[Tensor, "4 ..."]:
    return torch.stack([values[groups == group].mean(dim=0) for group in range(4)])
