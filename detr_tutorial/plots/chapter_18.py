"""The figures of notebooks/18_training.ipynb: what is trained on, rates, runs, and answers."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import Tensor

from detr_tutorial.boxes import cxcywh_to_xyxy
from detr_tutorial.plots._style import (
    GRID_COLOR,
    INK,
    LEVEL_COLORS,
    RIGHT_COLOR,
    WRONG_COLOR,
    draw_picture,
    new_figure,
    styled,
)

LINES = (
    {"color": "#0072B2", "linestyle": "-"},
    {"color": "#D55E00", "linestyle": "--"},
    {"color": "#009E73", "linestyle": "-."},
    {"color": "#CC79A7", "linestyle": ":"},
    {"color": "#E69F00", "linestyle": (0, (5, 1, 1, 1, 1, 1))},
    {"color": "#56B4E9", "linestyle": (0, (8, 2))},
)
PARTS = {"labels": "class", "boxes": "L1", "giou": "GIoU"}


def _frame(axes: Axes, corners: Sequence[float], **style: Any) -> None:
    x1, y1, x2, y2 = corners
    axes.add_patch(Rectangle((x1 - 0.5, y1 - 0.5), x2 - x1, y2 - y1, fill=False, **style))


def _name(axes: Axes, corners: Sequence[float], text: str, size: tuple[int, int], color: str) -> None:
    height, width = size
    x, y = max(1.0, corners[0]), min(max(9.0, corners[1] - 2), height - 2.0)
    text_box = {"facecolor": color, "edgecolor": "none", "pad": 1.0}
    x = min(x, width - 5.2 * len(text))
    axes.text(x, y, text, fontsize=6.5, color="white", bbox=text_box, va="bottom", zorder=6)


@styled
def pictures(images: Sequence[Tensor], targets: Sequence[Mapping[str, Any]], names: Sequence[str]) -> Figure:
    """Images in a row, each with the boxes of its objects.

    Args:
        images: (3, H, W) each, in [0, 1].
        targets: one an image, with "labels" (n,) and "boxes" (n, 4) as (cx, cy, w, h) in [0, 1].
        names: of the classes.
    """
    figure, grid = new_figure(7.2, 1.9, columns=len(images), image_format="jpeg")
    for axes, image, target in zip(grid[0], images, targets, strict=True):
        height, width = image.shape[1:]
        draw_picture(axes, image)
        scale = target["boxes"].new_tensor([width, height, width, height])
        corners = (cxcywh_to_xyxy(target["boxes"]) * scale).tolist()
        for label, box in zip(target["labels"].tolist(), corners, strict=True):
            _frame(axes, box, edgecolor="white", linewidth=2.6)
            _frame(axes, box, edgecolor=RIGHT_COLOR, linewidth=1.4)
            _name(axes, box, names[int(label)], (height, width), RIGHT_COLOR)
        axes.set_xlabel(f"{len(corners)} objects" if len(corners) != 1 else "1 object", fontsize=9)
    return figure


@styled
def answers(
    images: Sequence[Tensor],
    targets: Sequence[Mapping[str, Any]],
    stages: Mapping[str, Sequence[Mapping[str, Tensor]]],
    names: Sequence[str],
) -> Figure:
    """What a model answers at several times: as many of its surest answers as there are objects.

    Args:
        images: (3, H, W) each, in [0, 1].
        targets: one an image, with "labels" (n,) and "boxes" (n, 4) as (cx, cy, w, h) in [0, 1].
        stages: when, and for every image "scores", "labels" and "boxes" in pixels, best first.
        names: of the classes.
    """
    figure, grid = new_figure(
        7.2, 1.86 * len(stages) + 0.1, rows=len(stages), columns=len(images), image_format="jpeg"
    )
    for row, (stage, found) in zip(grid, stages.items(), strict=True):
        row[0].set_ylabel(stage, fontsize=10)
        for axes, image, target, answer in zip(row, images, targets, found, strict=True):
            height, width = image.shape[1:]
            draw_picture(axes, image)
            scale = target["boxes"].new_tensor([width, height, width, height])
            for box in (cxcywh_to_xyxy(target["boxes"]) * scale).tolist():
                _frame(axes, box, edgecolor="white", linewidth=2.2, zorder=3)
                _frame(axes, box, edgecolor=INK, linewidth=1.1, linestyle=":", zorder=4)
            shown = len(target["labels"])
            columns = (answer["scores"], answer["labels"], answer["boxes"])
            for score, label, box in zip(*(column[:shown].tolist() for column in columns), strict=True):
                _frame(axes, box, edgecolor=WRONG_COLOR, linewidth=1.4, zorder=5)
                _name(axes, box, f"{names[label]} {100 * score:.0f}", (height, width), WRONG_COLOR)
    return figure


@styled
def schedules(lines: Mapping[str, Sequence[float]]) -> Figure:
    """The rate over a run, as a part of the full rate, of several schedules.

    Args:
        lines: name and one factor a step.
    """
    figure, grid = new_figure(6.4, 2.4)
    axes = grid[0, 0]
    for (name, factors), look in zip(lines.items(), LINES, strict=False):
        done = np.arange(len(factors)) / len(factors)
        axes.plot(done, factors, label=name, **look)
    axes.set(xlabel="part of the run that is over", ylabel="part of the full rate", ylim=(0, 1.06))
    axes.set_xlim(0, 1)
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure


def _smooth(values: Sequence[float], width: int) -> np.ndarray:
    """The mean over the last `width` values, of fewer in the beginning."""
    sums = np.cumsum(np.concatenate([[0.0], values]))
    ends = np.arange(1, len(values) + 1)
    begins = np.maximum(0, ends - width)
    return (sums[ends] - sums[begins]) / (ends - begins)


@styled
def progress(rows: Sequence[Mapping[str, Any]], steps: int) -> Figure:
    """A run as it goes: the loss of each step and its mean, and the parts of the last layer's loss.

    Args:
        rows: one a step so far, with "loss", "labels", "boxes" and "giou".
        steps: of the whole run.
    """
    figure, grid = new_figure(7.2, 2.7, columns=2)
    left, right = grid[0]
    at, width = np.arange(1, len(rows) + 1), max(1, steps // 20)
    loss = [row["loss"] for row in rows]
    left.plot(at, loss, color=GRID_COLOR, linewidth=0.8, label="each step")
    left.plot(at, _smooth(loss, width), color=RIGHT_COLOR, label=f"mean of {width} steps")
    left.set(title=f"loss, step {len(rows):,} of {steps:,}", ylim=(0, 18))
    for (part, name), weight, look in zip(PARTS.items(), (2, 5, 2), LINES, strict=False):
        values = [weight * row[part] for row in rows]
        right.plot(at, _smooth(values, width), label=f"{weight} x {name}", **look)
    right.set(title="parts of the last layer's loss", ylim=(0, 3))
    for axes in (left, right):
        axes.set(xlim=(0, steps), xlabel="step")
        axes.grid(True, axis="y", color=GRID_COLOR, linewidth=0.5)
        axes.legend(loc="upper right")
    return figure


@styled
def short_runs(losses: Mapping[str, Sequence[float]]) -> Figure:
    """The losses of several short runs, on a logarithmic axis.

    Args:
        losses: name and one loss a step.
    """
    figure, grid = new_figure(7.2, 2.9)
    axes = grid[0, 0]
    for (name, values), look in zip(losses.items(), LINES, strict=False):
        axes.plot(np.arange(1, len(values) + 1), values, label=name, **look)
    axes.set(xlabel="step", ylabel="loss", yscale="log")
    axes.set_yticks([1, 3, 10, 30, 100], ["1", "3", "10", "30", "100"])
    axes.set_yticks([], minor=True)
    axes.grid(True, axis="y", color=GRID_COLOR, linewidth=0.5)
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure


@styled
def your_factors(yours: Sequence[float], target: Sequence[float]) -> Figure:
    """The factors of an answer beside the right ones.

    Args:
        yours: one a part of the batch.
        target: one a part of the batch.
    """
    figure, grid = new_figure(5.0, 2.2)
    axes = grid[0, 0]
    at = np.arange(len(target))
    axes.bar(at - 0.2, target, width=0.38, color=GRID_COLOR, label="target")
    axes.bar(
        at + 0.2, yours, width=0.38, color=LEVEL_COLORS[1], hatch="///", edgecolor="white", label="yours"
    )
    axes.set(xlabel="part of the batch", ylabel="factor", xticks=at)
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure
