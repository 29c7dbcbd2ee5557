"""Checks for notebooks/19_inference_and_evaluation.ipynb: the best answers of an image, average precision.

Each check is a slow reference that goes one by one, random inputs, and the mistakes people make, every one
with the sentence that names it.
"""

import math
from collections.abc import Callable, Sequence

import torch
from hypothesis import strategies as st
from torch import Tensor

from detr_tutorial.checks._check import Check

Answer = tuple[Tensor, Tensor, Tensor]  # scores (k,), labels (k,), boxes (k, 4)

# ---------------------------------------------------------------- the best answers of one image


def answers_one_by_one(logits: Tensor, boxes: Tensor, size: tuple[int, int], top_k: int) -> Answer:
    """List every query with every class, sort the list, and take the best."""
    height, width = size
    listed = []
    for query, row in enumerate(logits.tolist()):
        cx, cy, w, h = boxes[query].tolist()
        corners = [(cx - w / 2) * width, (cy - h / 2) * height, (cx + w / 2) * width, (cy + h / 2) * height]
        for label, logit in enumerate(row):
            listed.append((1 / (1 + math.exp(-logit)), label, corners))
    listed.sort(key=lambda entry: -entry[0])
    scores, labels, corners = zip(*listed[:top_k], strict=True)
    return torch.tensor(scores), torch.tensor(labels), torch.tensor(corners)


def _corners(boxes: Tensor) -> Tensor:
    return torch.cat([boxes[:, :2] - boxes[:, 2:] / 2, boxes[:, :2] + boxes[:, 2:] / 2], dim=1)


def _answers(
    *,
    probability: Callable[[Tensor], Tensor] = torch.sigmoid,
    split: Callable[[Tensor, int, int], tuple[Tensor, Tensor]] = lambda pair, q, c: (pair // c, pair % c),
    corners: Callable[[Tensor], Tensor] = _corners,
    scale: Callable[[int, int], Sequence[int]] = lambda height, width: (width, height, width, height),
    first_label: int = 0,
    largest: bool = True,
    everything: bool = False,
) -> Callable[[Tensor, Tensor, tuple[int, int], int], Answer]:
    """The right way with parts replaced."""

    def variant(logits: Tensor, boxes: Tensor, size: tuple[int, int], top_k: int) -> Answer:
        queries, classes = logits.shape
        candidates = probability(logits).flatten()
        kept = len(candidates) if everything else min(top_k, len(candidates))
        scores, pair = candidates.topk(kept, largest=largest)
        chosen, labels = split(pair, queries, classes)
        in_pixels = corners(boxes)[chosen.clamp(max=queries - 1)] * torch.tensor(scale(*size))
        return scores, labels + first_label, in_pixels

    return variant


def _one_class_a_query(logits: Tensor, boxes: Tensor, size: tuple[int, int], top_k: int) -> Answer:
    best, labels = logits.sigmoid().max(dim=1)
    scores, chosen = best.topk(min(top_k, len(best)))
    height, width = size
    return scores, labels[chosen], _corners(boxes)[chosen] * torch.tensor([width, height, width, height])


def _first_boxes(logits: Tensor, boxes: Tensor, size: tuple[int, int], top_k: int) -> Answer:
    scores, labels, _ = answers_one_by_one(logits, boxes, size, top_k)
    height, width = size
    first = _corners(boxes) * torch.tensor([width, height, width, height])
    return scores, labels, first[torch.arange(len(scores)) % len(first)]


ANSWER_MISTAKES = (
    (
        "you gave every query its best class alone: a query may answer twice, so rank all pairs of query and "
        "class",
        _one_class_a_query,
    ),
    (
        "you took a softmax over the classes: this head has one sigmoid a class, and no background",
        _answers(probability=lambda logits: logits.softmax(dim=-1)),
    ),
    ("you returned logits: a score is the sigmoid of one", _answers(probability=lambda logits: logits)),
    (
        "you swapped quotient and remainder: pair // C is the query, pair % C the class",
        _answers(split=lambda pair, q, c: (pair % c, pair // c)),
    ),
    (
        "you divided by the number of queries: a row of the flattened table has C classes",
        _answers(split=lambda pair, q, c: (pair // q, pair % q)),
    ),
    (
        "your boxes are not those of the queries: gather the box of each pair's query",
        _first_boxes,
    ),
    (
        "you left boxes as (cx, cy, w, h): turn them into corners",
        _answers(corners=lambda boxes: boxes),
    ),
    (
        "you took the center for the upper left corner",
        _answers(corners=lambda boxes: torch.cat([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], dim=1)),
    ),
    (
        "you scaled x by the height and y by the width: a size is (height, width), a point is (x, y)",
        _answers(scale=lambda height, width: (height, width, height, width)),
    ),
    ("you left boxes in [0, 1]: scale them to pixels", _answers(scale=lambda height, width: (1, 1, 1, 1))),
    (
        "you counted labels from 1: there is no background class at 0, the first class is 0",
        _answers(first_label=1),
    ),
    ("you took the worst answers: best first", _answers(largest=False)),
    ("you kept all pairs: at most top_k", _answers(everything=True)),
)


@st.composite
def _raw_answers(draw: Callable) -> dict:
    queries, classes = draw(st.sampled_from([(2, 3), (3, 2), (4, 3), (3, 4)]))
    order = draw(st.permutations(range(queries * classes)))  # no ties
    logits = torch.tensor(order, dtype=torch.float32).reshape(queries, classes)
    parts = draw(st.lists(st.integers(2, 8), min_size=4 * queries, max_size=4 * queries))
    return {
        "logits": (logits - queries * classes / 2) / 2,
        "boxes": torch.tensor(parts).reshape(queries, 4) / torch.tensor([10.0, 10, 20, 20]),
        "size": draw(st.sampled_from([(20, 30), (40, 10)])),
        "top_k": draw(st.integers(1, queries * classes)),
    }


postprocess = Check(
    name="postprocess",
    reference=answers_one_by_one,
    inputs=_raw_answers(),
    mistakes=ANSWER_MISTAKES,
    example={
        "logits": torch.tensor([[2.0, -1.0, 1.0], [-3.0, 0.0, -2.0], [-4.0, 3.0, -5.0], [0.5, -0.5, 1.5]]),
        "boxes": torch.tensor(
            [[0.5, 0.5, 0.2, 0.4], [0.3, 0.6, 0.1, 0.3], [0.7, 0.2, 0.4, 0.2], [0.4, 0.3, 0.3, 0.2]]
        ),
        "size": (20, 30),
        "top_k": 5,
    },
)

# ---------------------------------------------------------------- average precision


def precision_by_steps(scores: Tensor, right: Tensor, num_objects: int) -> float:
    """Go down the list; for each of the 101 recalls take the best precision from there on."""
    order = sorted(range(len(scores)), key=lambda index: -float(scores[index]))
    points, found = [], 0
    for answers, index in enumerate(order, start=1):
        found += bool(right[index])
        points.append((found / num_objects, found / answers))
    readings = [
        max((precision for recall, precision in points if recall >= step / 100), default=0.0)
        for step in range(101)
    ]
    return sum(readings) / 101


def _curve(
    scores: Tensor, right: Tensor, num_objects: int | float, *, largest: bool = True
) -> tuple[Tensor, Tensor]:
    hits = right[scores.argsort(descending=largest)].double().cumsum(0)
    return hits / num_objects, hits / torch.arange(1, len(hits) + 1)


def _read(recall: Tensor, precision: Tensor, recalls: int = 101, *, envelope: bool = True) -> list[float]:
    best = precision.flip(0).cummax(0).values.flip(0) if envelope else precision
    levels = torch.arange(recalls, dtype=torch.float64) / (recalls - 1)
    where = torch.searchsorted(recall, levels)
    return [float(best[index]) if index < len(best) else math.nan for index in where.tolist()]


def _mean(readings: Sequence[float]) -> float:
    return sum(0.0 if math.isnan(reading) else reading for reading in readings) / len(readings)


def _as_they_come(scores: Tensor, right: Tensor, num_objects: int) -> float:
    return _mean(_read(*_curve(-torch.arange(len(scores)).double(), right, num_objects)))


def _worst_first(scores: Tensor, right: Tensor, num_objects: int) -> float:
    return _mean(_read(*_curve(scores, right, num_objects, largest=False)))


def _not_enveloped(scores: Tensor, right: Tensor, num_objects: int) -> float:
    return _mean(_read(*_curve(scores, right, num_objects), envelope=False))


def _eleven(scores: Tensor, right: Tensor, num_objects: int) -> float:
    return _mean(_read(*_curve(scores, right, num_objects), recalls=11))


def _of_those_found(scores: Tensor, right: Tensor, num_objects: int) -> float:
    return _mean(_read(*_curve(scores, right, max(1, int(right.sum())))))


def _of_the_answers(scores: Tensor, right: Tensor, num_objects: int) -> float:
    return _mean(_read(*_curve(scores, right, len(scores))))


def _until_the_curve_ends(scores: Tensor, right: Tensor, num_objects: int) -> float:
    readings = [value for value in _read(*_curve(scores, right, num_objects)) if not math.isnan(value)]
    return _mean(readings)


def _mean_at_hits(scores: Tensor, right: Tensor, num_objects: int) -> float:
    _, precision = _curve(scores, right, num_objects)
    return float(precision[right[scores.argsort(descending=True)].bool()].sum()) / num_objects


def _whole_precision(scores: Tensor, right: Tensor, num_objects: int) -> float:
    return float(right.double().mean())


def _area(scores: Tensor, right: Tensor, num_objects: int) -> float:
    recall, precision = _curve(scores, right, num_objects)
    best = precision.flip(0).cummax(0).values.flip(0)
    return float((recall.diff(prepend=torch.zeros(1, dtype=recall.dtype)) * best).sum())


PRECISION_MISTAKES = (
    ("you took the answers as they come: sort them, surest first", _as_they_come),
    ("you sorted the answers the wrong way round: surest first", _worst_first),
    ("you did not take the best precision from each recall on", _not_enveloped),
    ("you read at 11 recalls, as Pascal VOC did at first: COCO reads at 101", _eleven),
    (
        "you measured the exact area under the curve: COCO takes the mean of 101 readings, which differs a "
        "little",
        _area,
    ),
    (
        "you divided by the number of objects found: recall is a share of all objects, also of those that "
        "nobody found",
        _of_those_found,
    ),
    ("you divided by the number of answers: recall is a share of the objects", _of_the_answers),
    (
        "you left out the recalls that are never reached: they count as precision 0",
        _until_the_curve_ends,
    ),
    (
        "you took the mean of the precisions at the right answers, without reading at 101 recalls",
        _mean_at_hits,
    ),
    ("you gave the precision of the whole list, which does not depend on the order", _whole_precision),
)


@st.composite
def _ranked(draw: Callable) -> dict:
    num_objects = draw(st.sampled_from([3, 7, 9, 11, 13]))  # recalls that meet the 101 at 1 only
    answers = draw(st.integers(2, 9))
    right = draw(st.lists(st.booleans(), min_size=answers, max_size=answers))
    for index in range(answers):  # not more hits than objects
        right[index] = right[index] and sum(right[:index]) < num_objects
    order = draw(st.permutations(range(answers)))
    return {
        "scores": (torch.tensor(order, dtype=torch.float32) + 1) / (answers + 1),
        "right": torch.tensor(right),
        "num_objects": num_objects,
    }


average_precision = Check(
    name="average_precision",
    reference=precision_by_steps,
    inputs=_ranked(),
    mistakes=PRECISION_MISTAKES,
    example={
        "scores": torch.tensor([0.6, 0.9, 0.3, 0.8, 0.5, 0.7]),
        "right": torch.tensor([True, True, False, False, True, False]),
        "num_objects": 7,
    },
)
