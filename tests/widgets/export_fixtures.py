"""Numbers from torch that the widgets' JavaScript is tested against.

`python tests/widgets/export_fixtures.py` writes js/tests/fixtures/*.json again.
"""

import json
import sys
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from einops import rearrange
from scipy.optimize import linear_sum_assignment
from torchvision.ops import box_convert, box_iou, generalized_box_iou

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from detr_tutorial.complexity import layer_costs, level_shapes
from detr_tutorial.deformable_attention import ms_deform_attn
from detr_tutorial.features import flatten_levels
from detr_tutorial.padding import pad_images, resize_mask, valid_ratios
from detr_tutorial.position import SinePositionEncoding
from detr_tutorial.reference_points import encoder_reference_points, sampling_locations
from detr_tutorial.sampling import bilinear_sample, deform_conv2d, kernel_grid
from detr_tutorial.widgets._packing import pack, pack_table
from detr_tutorial.widgets.padding_explorer import STRIDES, map_size

FOLDER = Path(__file__).resolve().parents[2] / "js" / "tests" / "fixtures"
SHAPES = ((4, 6), (3, 2))
M, L, K, Q = 3, 2, 4, 5


def bilinear() -> dict[str, Any]:
    """`grid_sample` on a non-square map: inside, on edges, partly and fully outside."""
    generator = torch.Generator().manual_seed(1)
    level_map = torch.randn(4, 6, generator=generator, dtype=torch.float64)
    points = torch.rand(40, 2, generator=generator, dtype=torch.float64) * 1.6 - 0.3
    exact = torch.tensor(
        [[0, 0], [1, 1], [0.5, 0.5], [0.25, 0.125], [1.5, 0.5], [-2, 7]], dtype=torch.float64
    )
    points = torch.cat([points, exact])
    sampled = F.grid_sample(
        level_map[None, None],
        (2 * points - 1)[None, None],
        mode="bilinear",
        padding_mode="zeros",
        align_corners=False,
    )
    return {"map": level_map.tolist(), "points": points.tolist(), "sampled": sampled.flatten().tolist()}


def attention() -> dict[str, Any]:
    """References, locations around points and boxes, joint softmax, and the weighted sum, in float64."""
    generator = torch.Generator().manual_seed(2)

    def random(*sizes: int) -> torch.Tensor:
        return torch.randn(*sizes, generator=generator, dtype=torch.float64)

    ratios = torch.tensor([[[1.0, 0.75], [1.0, 2 / 3]]], dtype=torch.float64)
    references = encoder_reference_points(SHAPES, ratios)
    num_tokens = references.shape[1]
    queries = torch.tensor([0, 7, 17, 24, num_tokens - 1])
    offsets, logits = random(1, Q, M, L, K, 2), random(1, Q, M, L, K) * 2
    boxes = torch.rand(1, Q, L, 4, generator=generator, dtype=torch.float64)
    value = random(1, num_tokens, M, 1)
    weights = rearrange(
        rearrange(logits, "B Q M L K -> B Q M (L K)").softmax(-1), "B Q M (L K) -> B Q M L K", L=L
    )
    locations = sampling_locations(references[:, queries], offsets, SHAPES)
    box_locations = sampling_locations(boxes, offsets, SHAPES)
    tensors = {
        "validRatios": ratios,
        "references": references,
        "offsets": offsets,
        "logits": logits,
        "boxes": boxes,
        "value": value[..., 0],
        "weights": weights,
        "locations": locations,
        "boxLocations": box_locations,
        "output": ms_deform_attn(value, SHAPES, locations, weights, implementation="loops"),
        "boxOutput": ms_deform_attn(value, SHAPES, box_locations, weights, implementation="loops"),
    }
    numbers = {name: tensor[0].tolist() for name, tensor in tensors.items()}
    return {"spatialShapes": [list(shape) for shape in SHAPES], "queries": queries.tolist(), **numbers}


def packing() -> dict[str, Any]:
    """Packed arrays and a packed table, with the numbers that went in."""
    generator = torch.Generator().manual_seed(3)
    table = (
        (torch.randn(7, 3, generator=generator) @ torch.randn(3, 10, generator=generator) + 2)
        .double()
        .numpy()
    )
    packed, error = pack_table(table, 1e-3)
    arrays = {
        "uint8": [0, 1, 200, 255],
        "int16": [-32767, -1, 0, 5, 32767],
        "float32": [-1.5, 0.0, 2.0**-20, 3e5],
    }
    return {
        "arrays": [
            {"packed": pack(torch.tensor(v).numpy(), name), "numbers": v} for name, v in arrays.items()
        ],
        "table": {"packed": packed, "numbers": table.tolist(), "error": error},
    }


def padding() -> dict[str, Any]:
    """Batches of odd sizes: canvas, maps of every stride, valid cells, ratios, and the share of padding."""
    generator = torch.Generator().manual_seed(4)
    batches = [[[204, 328], [265, 100]], [[1, 1], [128, 96]], [[219, 328], [264, 206]], [[64, 64], [64, 64]]]
    batches += [torch.randint(1, 300, (3, 2), generator=generator).tolist() for _ in range(12)]
    cases = []
    for sizes in batches:
        mask = pad_images([torch.zeros(3, height, width) for height, width in sizes]).mask
        maps = []
        for stride in STRIDES:
            shape = map_size((mask.shape[1], mask.shape[2]), stride)
            small = resize_mask(mask, shape)
            rows, columns = (~small[:, :, 0]).sum(1), (~small[:, 0]).sum(1)
            ratios = valid_ratios([small], dtype=torch.float64)[:, 0]
            valid = torch.stack([rows, columns], dim=1)
            maps.append(
                {"stride": stride, "cells": list(shape), "valid": valid.tolist(), "ratios": ratios.tolist()}
            )
        share = mask.double().mean().item()
        cases.append({"sizes": sizes, "canvas": list(mask.shape[1:]), "share": share, "maps": maps})
    return {"cases": cases}


def matching() -> dict[str, Any]:
    """Boxes with torch's distances and torchvision's overlaps; cost matrices with scipy's pairing."""
    generator = torch.Generator().manual_seed(5)

    def boxes(count: int) -> torch.Tensor:
        numbers = torch.rand(count, 4, generator=generator, dtype=torch.float64)
        return numbers * torch.tensor([1, 1, 0.6, 0.6]) + torch.tensor([0, 0, 0.05, 0.05])

    slots, objects = boxes(6), boxes(4)
    overlap = generalized_box_iou(
        box_convert(slots, "cxcywh", "xyxy"), box_convert(objects, "cxcywh", "xyxy")
    )
    costs = []
    for num_slots, num_objects in ((1, 1), (3, 3), (4, 3), (5, 2), (7, 7), (9, 5)) * 3:
        cost = torch.randn(num_slots, num_objects, generator=generator, dtype=torch.float64)
        rows, columns = linear_sum_assignment(cost)
        chosen = [int(rows[columns == column][0]) for column in range(num_objects)]
        costs.append({"cost": cost.tolist(), "chosen": chosen, "sum": cost[rows, columns].sum().item()})
    return {
        "slots": slots.tolist(),
        "objects": objects.tolist(),
        "distance": torch.cdist(slots, objects, p=1).tolist(),
        "overlap": overlap.tolist(),
        "costs": costs,
    }


def position() -> dict[str, Any]:
    """Encodings of maps without padding, and the similarities of their cells to one of them."""
    cases = []
    for size, features, temperature, cell in (
        ((4, 6), 4, 4.0, (1, 4)),
        ((5, 3), 10, 20.0, (0, 0)),
        ((15, 21), 32, 10000.0, (7, 20)),
        ((1, 7), 6, 1.0, (0, 3)),
    ):
        encode = SinePositionEncoding(features, temperature)
        encoding = encode(torch.zeros(1, *size, dtype=torch.bool), torch.float64)[0]  # C H W
        alike = torch.einsum("c,chw->hw", encoding[:, cell[0], cell[1]], encoding) / features
        cases.append(
            {
                "size": size,
                "features": features,
                "temperature": temperature,
                "cell": cell,
                "vector": encoding[:, cell[0], cell[1]].tolist(),
                "last": encoding[-2].tolist(),
                "similarities": alike.tolist(),
            }
        )
    return {"cases": cases}


def cost() -> dict[str, Any]:
    """What `complexity` counts, for odd and for published sizes."""
    cases = []
    for height, width, strides, queries, channels, heads, points in (
        (800, 1066, (8, 16, 32, 64), 300, 256, 8, 4),
        (128, 128, (32,), 100, 256, 8, 1),
        (33, 71, (8, 32), 7, 15, 3, 5),
        (2048, 2729, (16, 64), 1000, 256, 8, 16),
    ):
        shapes = level_shapes(height, width, strides)
        sizes = (queries, channels, heads, points)
        kinds = {
            "dense": layer_costs(shapes, "dense", *sizes),
            "deformable": layer_costs(shapes, "deformable", *sizes),
        }
        bills = {
            part: {
                kind: {
                    "projections": getattr(layer, field).projections,
                    "predictions": getattr(layer, field).predictions,
                    "reading": getattr(layer, field).reading,
                    "multiplyAdds": getattr(layer, field).multiply_adds,
                    "heldBytes": getattr(layer, field).held_bytes,
                }
                for kind, layer in kinds.items()
            }
            for part, field in (("encoder", "encoder"), ("decoder", "decoder_cross"))
        }
        setting = {"height": height, "width": width, "strides": strides, "queries": queries}
        setting |= {"channels": channels, "heads": heads, "points": points}
        cases.append({"setting": setting, "shapes": shapes, "bills": bills})
    return {"cases": cases}


def sampling() -> dict[str, Any]:
    """Readings of one map with their slopes, and responses of kernels whose nine points have moved."""
    generator = torch.Generator().manual_seed(6)
    level_map = torch.randn(4, 6, generator=generator, dtype=torch.float64)
    anywhere = torch.rand(30, 2, generator=generator, dtype=torch.float64) * torch.tensor([9, 7]) - 1.5
    exact = torch.tensor([[0, 0], [2, 1], [5, 3], [-1, 1], [6, 2], [2.5, 1], [-3, 9]], dtype=torch.float64)
    points = torch.cat([anywhere, exact]).requires_grad_()
    readings = bilinear_sample(level_map[None, None], points[None])
    (slopes,) = torch.autograd.grad(readings.sum(), points)
    grid, kernels = kernel_grid().double(), []
    for scale in (0.0, 1.5):
        moved = grid + scale * torch.randn(9, 2, generator=generator, dtype=torch.float64)
        kernel = torch.randn(9, generator=generator, dtype=torch.float64)
        offsets = (moved - grid).expand(1, 4, 6, 9, 2)
        response = deform_conv2d(level_map[None, None], offsets, kernel.view(1, 1, 3, 3), padding=1)
        kernels.append(
            {"points": moved.tolist(), "kernel": kernel.tolist(), "response": response[0, 0].tolist()}
        )
    return {
        "map": level_map.tolist(),
        "points": points.tolist(),
        "readings": readings.flatten().tolist(),
        "slopes": slopes.tolist(),
        "kernels": kernels,
    }


def boxloss() -> dict[str, Any]:
    """Losses of pairs of boxes and their slopes: near, apart, inside, and with edges that meet."""
    generator = torch.Generator().manual_seed(6)
    scale, low = torch.tensor([1, 1, 0.5, 0.5]), torch.tensor([0, 0, 0.05, 0.05])
    boxes, others = (
        torch.rand(24, 4, generator=generator, dtype=torch.float64) * scale + low for _ in range(2)
    )
    exact = torch.tensor(
        [
            [[0.5, 0.5, 0.25, 0.25], [0.5, 0.5, 0.25, 0.25]],  # equal
            [[0.25, 0.5, 0.25, 0.25], [0.5, 0.5, 0.25, 0.25]],  # side by side, edges meet
            [[0.5, 0.5, 0.25, 0.25], [0.5, 0.5, 0.5, 0.25]],  # inside, two edges meet
            [[0.5, 0.5, 0.125, 0.25], [0.5625, 0.5, 0.5, 0.75]],  # inside
            [[0.25, 0.25, 0.25, 0.25], [0.5, 0.5, 0.25, 0.25]],  # corners meet
        ],
        dtype=torch.float64,
    )
    boxes, others = torch.cat([boxes, exact[:, 0]]), torch.cat([others, exact[:, 1]])
    cases = []
    for box, other in zip(boxes, others, strict=True):
        moved = box.clone().requires_grad_()
        one, two = (box_convert(each[None], "cxcywh", "xyxy") for each in (moved, other))
        losses = {
            "l1": (moved - other).abs().sum(),
            "iou": 1 - box_iou(one, two)[0, 0],
            "giou": 1 - generalized_box_iou(one, two)[0, 0],
        }
        losses["sum"] = 5 * losses["l1"] + 2 * losses["giou"]
        numbers = {}
        for name, loss in losses.items():
            (slopes,) = torch.autograd.grad(loss, moved, retain_graph=True)
            numbers[name] = {"value": loss.item(), "slopes": slopes.tolist()}
        cases.append({"box": box.tolist(), "other": other.tolist(), "losses": numbers})
    return {"cases": cases}


def tokens() -> dict[str, Any]:
    """Level, row, column, padding and middle of every token, from maps that hold them and were flattened."""
    cases = []
    for size, canvas, shapes in (
        ((30, 40), (30, 47), ((4, 6), (2, 3), (1, 2))),
        ((104, 81), (104, 131), ((13, 17), (7, 9), (4, 5), (2, 3))),
    ):
        maps, masks = [], []
        mask = torch.ones(1, *canvas, dtype=torch.bool)
        mask[:, : size[0], : size[1]] = False
        for level, (height, width) in enumerate(shapes):
            row, column = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
            maps.append(torch.stack([torch.full_like(row, level), row, column])[None].double())
            masks.append(resize_mask(mask, (height, width)))
        flattened = flatten_levels(maps, maps, masks, torch.zeros(len(shapes), 3).double())
        ratios = torch.ones(1, len(shapes), 2, dtype=torch.float64)
        cases.append(
            {
                "size": list(size),
                "canvas": list(canvas),
                "shapes": [list(shape) for shape in shapes],
                "addresses": flattened.tokens[0].int().tolist(),
                "padding": flattened.mask[0].int().tolist(),
                "middles": encoder_reference_points(shapes, ratios)[0, :, 0].tolist(),
            }
        )
    return {"cases": cases}


FIXTURES = {
    "bilinear": bilinear,
    "attention": attention,
    "packing": packing,
    "padding": padding,
    "matching": matching,
    "position": position,
    "cost": cost,
    "sampling": sampling,
    "boxloss": boxloss,
    "tokens": tokens,
}


def rounded(numbers: Any) -> Any:
    """Keep 12 digits: more than the comparison needs, the same on every machine."""
    if isinstance(numbers, float):
        return float(f"{numbers:.12g}")
    if isinstance(numbers, list):
        return [rounded(number) for number in numbers]
    if isinstance(numbers, dict):
        return {name: rounded(number) for name, number in numbers.items()}
    return numbers


if __name__ == "__main__":
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, make in FIXTURES.items():
        (FOLDER / f"{name}.json").write_text(json.dumps(rounded(make()), separators=(",", ":")) + "\n")
