"""How good are the detections: average precision as COCO defines it, computed by pycocotools.

`coco_metrics` compares detections with what there is; `evaluate` runs a model over a data set first. Taught
in notebooks/19_inference_and_evaluation.ipynb.
"""

import contextlib
import io
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from torch import Tensor, nn
from torch.utils.data import DataLoader

from detr_tutorial._validation import (
    require_finite,
    require_int,
    require_list,
    require_number,
    require_size,
    require_tensor,
)
from detr_tutorial.boxes import cxcywh_to_xyxy, to_absolute, xyxy_to_xywh
from detr_tutorial.data.shapes import collate
from detr_tutorial.inference import postprocess
from detr_tutorial.padding import PaddedBatch

COCO_SIDES = (32.0, 96.0)  # small objects have an area below the first squared, large ones above the second
COCO_IMAGES = 320  # images at least so long (the median of the longer sides) are measured by COCO's sides
_RANGES = ("AP", "APs", "APm", "APl")  # the order of area ranges
_HIGHEST_AREA = 1e10


def choose_area_ranges(image_sizes: Sequence[tuple[int, int]]) -> tuple[float, float]:
    """Choose what counts as small and as large, so that small images have large objects too.

    COCO calls an object small below 32 x 32 pixels and large above 96 x 96, in images of about 640 x 480. An
    image of 128 x 128 holds nothing large then. Where the median of the longer sides is below 320 pixels, an
    eighth and a quarter of that median take their place: 16 and 32 for images of 128 x 128.

    Args:
        image_sizes: (height, width) of every image in pixels.
    Returns:
        The side of a square in pixels below which an object is small, and the one above which it is large.
    Raises:
        TypeError, ValueError: if `image_sizes` is not a list of such pairs, or empty.
    Source: ours, for COCO's area ranges; taught in notebooks/19_inference_and_evaluation.ipynb.
    """
    pairs = require_list("image_sizes", image_sizes, "(height, width) pairs")
    sizes = [require_size(f"image_sizes[{image}]", size) for image, size in enumerate(pairs)]
    longer = statistics.median(max(size) for size in sizes)
    return COCO_SIDES if longer >= COCO_IMAGES else (longer / 8, longer / 4)


def coco_metrics(
    predictions: Sequence[Mapping[str, Tensor]],
    targets: Sequence[Mapping[str, Any]],
    image_sizes: Sequence[tuple[int, int]],
    class_names: Sequence[str] | None = None,
    area_ranges: tuple[int | float, int | float] | None = None,
    max_detections: int = 100,
) -> dict[str, Any]:
    """Compute COCO's average precision of detections.

    Args:
        predictions: for every image "scores" (k,), "labels" (k,) and "boxes" (k, 4) as (x1, y1, x2, y2) in
            pixels, as `inference.postprocess` returns them; k may be 0.
        targets: for every image "labels" (n,) and "boxes" (n, 4) as (cx, cy, w, h) in [0, 1]; and if there
            are any, "area" (n,) in square pixels, by which small and large are told (else that of the box),
            and "iscrowd" (n,): detections on a crowd count neither as right nor as wrong.
        image_sizes: (height, width) of every image in pixels.
        class_names: name of label 0, 1, ... for the table; labels may have gaps.
        area_ranges: two sides in pixels; an object is small below the square of the first and large above the
            square of the second; None chooses by `choose_area_ranges`.
        max_detections: how many detections of an image and class count, best first.
    Returns:
        "AP" (the mean over the overlaps .50, .55, ..., .95), "AP50", "AP75", and "APs", "APm", "APl" for
        small, medium and large objects, each in [0, 1] and NaN where there is no such object; "classes": for
        every label that occurs a dict with "label", "name", "objects" and the same six; and
        "area_ranges", the two sides that were used.
    Raises:
        TypeError, ValueError: if an argument is not of that kind, length, shape or range.
    Source: the COCO detection metric, by pycocotools; taught in
    notebooks/19_inference_and_evaluation.ipynb.
    """
    found = require_list("predictions", predictions, "dicts with scores, labels and boxes", minimum=0)
    truth = require_list("targets", targets, "dicts with labels and boxes", minimum=0)
    pairs = require_list("image_sizes", image_sizes, "(height, width) pairs")
    sizes = [require_size(f"image_sizes[{image}]", size) for image, size in enumerate(pairs)]
    for name, values in (("predictions", found), ("targets", truth)):
        if len(values) != len(sizes):
            raise ValueError(f"{name} must hold one dict an image: expected {len(sizes)}, got {len(values)}")
    names = None if class_names is None else require_list("class_names", class_names, "strings", minimum=0)
    small, large = _require_area_ranges(choose_area_ranges(sizes) if area_ranges is None else area_ranges)
    require_int("max_detections", max_detections)

    objects = [
        row
        for image, (target, size) in enumerate(zip(truth, sizes, strict=True))
        for row in _object_rows(f"targets[{image}]", target, image, size)
    ]
    detections = [
        row
        for image, prediction in enumerate(found)
        for row in _detection_rows(f"predictions[{image}]", prediction, image)
    ]
    labels = sorted({row["category_id"] for row in objects})
    if not labels:
        return {**_summary(np.empty((10, 101, 0, 4, 1))), "classes": [], "area_ranges": (small, large)}
    evaluation = COCOeval(
        _index(objects, labels, sizes),
        _index([row for row in detections if row["category_id"] in set(labels)], labels, sizes),
        "bbox",
    )
    evaluation.params.maxDets = [max_detections]
    evaluation.params.areaRng = [
        [0, _HIGHEST_AREA],
        [0, small**2],
        [small**2, large**2],
        [large**2, _HIGHEST_AREA],
    ]
    evaluation.params.areaRngLbl = list(_RANGES)
    with contextlib.redirect_stdout(io.StringIO()):  # pycocotools prints its progress
        evaluation.evaluate()
        evaluation.accumulate()
    precision = evaluation.eval["precision"]  # (overlaps, recalls, classes, area ranges, detection limits)
    classes = []
    for column, label in enumerate(labels):
        row = {
            "label": label,
            "name": names[label] if names is not None and 0 <= label < len(names) else str(label),
            "objects": sum(row["category_id"] == label and not row["iscrowd"] for row in objects),
        }
        classes.append({**row, **_summary(precision[:, :, column : column + 1])})
    return {**_summary(precision), "classes": classes, "area_ranges": (small, large)}


def evaluate(
    model: nn.Module,
    dataset: Any,
    batch_size: int = 16,
    area_ranges: tuple[int | float, int | float] | None = None,
    top_k: int = 100,
    num_workers: int = 0,
) -> dict[str, Any]:
    """Run a model over a data set and compute COCO's average precision.

    The model is in evaluation mode meanwhile and as before afterwards; global random state is not touched.

    Args:
        model: takes a PaddedBatch and returns Detections.
        dataset: has a length, and items (image in [0, 1], target): a target is as in `coco_metrics`; where
            the image was resized, "original_size" (height, width) says what "area" refers to, and boxes are
            compared at that size. An attribute `classes` names the labels.
        batch_size: images that run at once.
        area_ranges: what counts as small and as large, see `coco_metrics`.
        top_k: how many detections of an image count.
        num_workers: processes that read ahead; 0 reads in this one.
    Returns:
        As `coco_metrics`.
    Raises:
        TypeError, ValueError: if an argument is not as described, or the model answers NaN.
    Source: DETR (arXiv 2005.12872), `engine.evaluate`; taught in
    notebooks/19_inference_and_evaluation.ipynb.
    """
    value: Any = model
    if not isinstance(value, nn.Module):
        raise TypeError(f"model must be a torch.nn.Module, got {type(value).__name__}")
    if not (hasattr(dataset, "__getitem__") and hasattr(dataset, "__len__")):
        raise TypeError(f"dataset must have a length and items, got {type(dataset).__name__}")
    if len(dataset) == 0:
        raise ValueError("dataset is empty")
    require_int("batch_size", batch_size)
    require_int("top_k", top_k)
    require_int("num_workers", num_workers, minimum=0)
    loader = DataLoader(
        dataset,
        batch_size,
        collate_fn=_collate_with_sizes,
        num_workers=num_workers,
        generator=torch.Generator().manual_seed(0),
    )
    like = next(model.parameters(), torch.empty(0))  # device and dtype of the model
    predictions: list[dict[str, Tensor]] = []
    targets: list[dict[str, Any]] = []
    sizes: list[tuple[int, int]] = []
    modes = {module: module.training for module in model.modules()}
    try:
        model.eval()
        with torch.no_grad():
            for batch, batch_targets, batch_sizes in loader:
                detections = model(PaddedBatch(batch.pixels.to(like), batch.mask.to(like.device)))
                for prediction in postprocess(detections, batch_sizes, top_k):
                    predictions.append({key: tensor.cpu() for key, tensor in prediction.items()})
                targets += batch_targets
                sizes += batch_sizes
    finally:
        for module, training in modes.items():
            module.training = training
    names = getattr(dataset, "classes", None)
    return coco_metrics(predictions, targets, sizes, names, area_ranges, max_detections=top_k)


def class_table(metrics: Mapping[str, Any]) -> str:
    """Lay out the metrics as a table of plain text: one row a class, and one for all of them.

    Args:
        metrics: what `coco_metrics` or `evaluate` returned.
    Returns:
        The lines of the table; a dash where there is no such object.
    Raises:
        TypeError, ValueError: if `metrics` does not hold them.
    Source: ours; taught in notebooks/19_inference_and_evaluation.ipynb.
    """
    value: Any = metrics
    if not isinstance(value, Mapping):
        raise TypeError(f"metrics must be a dict from coco_metrics, got {type(value).__name__}")
    columns = ("AP", "AP50", "AP75", "APs", "APm", "APl")
    if missing := [key for key in (*columns, "classes") if key not in metrics]:
        raise ValueError(f"metrics must be a dict from coco_metrics, it has no {missing[0]!r}")
    everything = {**metrics, "name": "all", "objects": sum(row["objects"] for row in metrics["classes"])}
    rows = [*metrics["classes"], everything]
    wide = max(len("class"), *(len(row["name"]) for row in rows))
    lines = [f"{'class':{wide}} objects" + "".join(f"{column:>7}" for column in columns)]
    for row in rows:
        numbers = ("      -" if np.isnan(row[column]) else f"{row[column]:7.3f}" for column in columns)
        lines.append(f"{row['name']:{wide}} {row['objects']:7d}" + "".join(numbers))
    return "\n".join(lines)


def _collate_with_sizes(
    items: list[tuple[Tensor, dict[str, Any]]],
) -> tuple[PaddedBatch, list[dict[str, Any]], list[tuple[int, int]]]:
    batch, targets = collate(items)
    sizes = [
        tuple(int(side) for side in target.get("original_size", image.shape[1:])) for image, target in items
    ]
    return batch, targets, [(height, width) for height, width in sizes]


def _summary(precision: np.ndarray) -> dict[str, float]:
    """Average the precision; pycocotools writes -1 where a class has no object of a size.

    It also adds 2e-16 to a denominator: after rounding to 12 decimals, a perfect answer gives 1.
    """

    def average(values: np.ndarray) -> float:
        known = values[values > -1]
        return round(float(known.mean()), 12) if known.size else float("nan")

    result = {name: average(precision[:, :, :, column]) for column, name in enumerate(_RANGES)}
    return {
        "AP": result["AP"],
        "AP50": average(precision[0, :, :, 0]),
        "AP75": average(precision[5, :, :, 0]),
        "APs": result["APs"],
        "APm": result["APm"],
        "APl": result["APl"],
    }


def _index(rows: list[dict[str, Any]], labels: list[int], sizes: list[tuple[int, int]]) -> COCO:
    """What pycocotools evaluates; ids start from 1, because it takes a match with id 0 for none."""
    coco = COCO()
    content: Any = {
        "images": [
            {"id": image, "height": height, "width": width} for image, (height, width) in enumerate(sizes)
        ],
        "categories": [{"id": label} for label in labels],
        "annotations": [{"id": position + 1, **row} for position, row in enumerate(rows)],
    }
    coco.dataset = content
    with contextlib.redirect_stdout(io.StringIO()):
        coco.createIndex()
    return coco


def _object_rows(name: str, target: Any, image: int, size: tuple[int, int]) -> list[dict[str, Any]]:
    labels, boxes = _labels_and_boxes(name, target)
    corners = to_absolute(cxcywh_to_xyxy(boxes.double()), size)
    areas = target.get("area", (corners[:, 2:] - corners[:, :2]).prod(dim=1))
    crowds = target.get("iscrowd", torch.zeros(len(labels), dtype=torch.bool))
    for key, tensor in (("area", areas), ("iscrowd", crowds)):
        if len(require_tensor(f"{name}['{key}']", tensor, "N", "any")) != len(labels):
            raise ValueError(f"{name}['{key}'] must hold {len(labels)} values, got {len(tensor)}")
    columns = (labels.tolist(), xyxy_to_xywh(corners).tolist(), areas.tolist(), crowds.tolist())
    return [
        {"image_id": image, "category_id": label, "bbox": box, "area": area, "iscrowd": int(crowd)}
        for label, box, area, crowd in zip(*columns, strict=True)
    ]


def _detection_rows(name: str, prediction: Any, image: int) -> list[dict[str, Any]]:
    labels, boxes = _labels_and_boxes(name, prediction)
    if "scores" not in prediction:
        raise ValueError(f"{name} must hold scores, labels and boxes, got no scores")
    scores = require_finite(
        f"{name}['scores']", require_tensor(f"{name}['scores']", prediction["scores"], "N")
    )
    if len(scores) != len(labels):
        raise ValueError(f"{name} must hold as many scores as labels, got {len(scores)} and {len(labels)}")
    corners: Float[Tensor, "k 4"] = boxes.double()
    areas = (corners[:, 2:] - corners[:, :2]).prod(dim=1)
    columns = (labels.tolist(), xyxy_to_xywh(corners).tolist(), areas.tolist(), scores.tolist())
    return [
        {"image_id": image, "category_id": label, "bbox": box, "area": area, "score": score}
        for label, box, area, score in zip(*columns, strict=True)
    ]


def _labels_and_boxes(name: str, value: Any) -> tuple[Tensor, Tensor]:
    if not isinstance(value, Mapping):
        raise TypeError(f"{name} must be a dict with labels and boxes, got {type(value).__name__}")
    if missing := [key for key in ("labels", "boxes") if key not in value]:
        raise ValueError(f"{name} must hold labels and boxes, got no {' and no '.join(missing)}")
    labels = require_tensor(f"{name}['labels']", value["labels"], "N", "integer")
    boxes = require_finite(f"{name}['boxes']", require_tensor(f"{name}['boxes']", value["boxes"], "N 4"))
    if len(labels) != len(boxes):
        raise ValueError(f"{name} must hold as many labels as boxes, got {len(labels)} and {len(boxes)}")
    return labels, boxes


def _require_area_ranges(area_ranges: Any) -> tuple[float, float]:
    pair = require_list("area_ranges", area_ranges, "two sides in pixels")
    if len(pair) != 2:
        raise ValueError(f"area_ranges must hold two sides in pixels, got {len(pair)}")
    small, large = (require_number(f"area_ranges[{index}]", side, above=0) for index, side in enumerate(pair))
    if large < small:
        raise ValueError(f"area_ranges must not fall, got {small:g} before {large:g}")
    return small, large
