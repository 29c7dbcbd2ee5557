"""Figures of notebooks/19_inference_and_evaluation.ipynb: answers on pictures, and how they become AP."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.patheffects import withStroke
from torch import Tensor

from detr_tutorial.plots._style import (
    GRID_COLOR,
    INK,
    LEVEL_COLORS,
    RIGHT_COLOR,
    WRONG_COLOR,
    Number,
    draw_picture,
    new_figure,
    styled,
)

MUTED = "#666666"
ANSWER_COLOR, OBJECT_COLOR, WRONG_ANSWER_COLOR = "#56B4E9", "#FFFFFF", "#F0A35E"  # on dark rims
LINES = ("-", "--", "-.", ":")
FONT = 7.5  # of words on pictures, in points

Numbers = Sequence[Number] | np.ndarray


class Panel(NamedTuple):
    """One picture with answers on it; boxes are (n, 4) as (x1, y1, x2, y2) in pixels of the picture."""

    title: str
    image: Tensor  # (3, H, W) in [0, 1]
    boxes: Tensor  # answers: solid lines
    words: Sequence[str] = ()  # one an answer
    objects: Tensor | None = None  # what is there: dashed lines
    wrong: Sequence[bool] = ()  # answers that are drawn thicker, in another color


def _draw_boxes(axes: Axes, boxes: Tensor, color: str, width: Number, dashed: bool = False) -> None:
    for x1, y1, x2, y2 in boxes.detach().tolist():
        box = Rectangle((x1 - 0.5, y1 - 0.5), x2 - x1, y2 - y1, fill=False, edgecolor=color, linewidth=width)
        box.set_linestyle((0, (3, 2)) if dashed else "-")
        box.set_path_effects([withStroke(linewidth=width + 1.5, foreground="#000000")])
        axes.add_patch(box)


def _place_words(
    words: Sequence[str], boxes: Tensor, size: tuple[int, int], letter: tuple[float, float]
) -> list[tuple[float, float]]:
    """Where each word begins (left, bottom): near its box, inside the picture, and off other words.

    Args:
        words: one a box; an empty one takes no place.
        boxes: (n, 4) as corners.
        size: (height, width) of the picture.
        letter: height and width of a letter, in pixels of the picture.
    """
    taken: list[tuple[float, float, float, float]] = []
    places = []
    for word, (x1, y1, x2, y2) in zip(words, boxes.tolist(), strict=True):
        wide, high = len(word) * letter[1], letter[0]
        gap = 0.25 * high
        best, least = (x1, y1), float("inf")
        for bottom in (y1 - gap, y2 + high + gap, y2 - gap, y1 + high + gap, (y1 + y2 + high) / 2):
            for left in (x1, x2 - wide, (x1 + x2 - wide) / 2):
                x = min(max(left, 0.0), max(0.0, size[1] - wide))
                y = min(max(bottom, high), size[0] - gap)
                cost = 0.05 * (abs(x - left) + abs(y - bottom))
                for other in taken:
                    across = min(x + wide, other[2]) - max(x, other[0])
                    down = min(y, other[3]) - max(y - high, other[1])
                    cost += max(0.0, across) * max(0.0, down)
                if cost < least:
                    best, least = (x, y), cost
        places.append(best)
        if word:
            taken.append((best[0], best[1] - high, best[0] + wide, best[1]))
    return places


def _draw_panel(axes: Axes, panel: Panel, inches: Number) -> None:
    draw_picture(axes, panel.image)
    axes.images[-1].set_interpolation("bilinear")
    axes.set_title(panel.title, loc="center", fontsize=9.5)
    height, width = panel.image.shape[1:]
    axes.set_autoscale_on(False)
    if panel.objects is not None:
        _draw_boxes(axes, panel.objects, OBJECT_COLOR, 1.1, dashed=True)
    colors = []
    for index, box in enumerate(panel.boxes.detach()):
        wrong = index < len(panel.wrong) and panel.wrong[index]
        colors.append(WRONG_ANSWER_COLOR if wrong else ANSWER_COLOR)
        _draw_boxes(axes, box[None], colors[-1], 2.2 if wrong else 1.3)
    if not panel.words:
        return
    points = width / (inches * 72)  # pixels of the picture in a point of the page
    places = _place_words(panel.words, panel.boxes, (height, width), (FONT * points, 0.68 * FONT * points))
    for word, color, (x, y) in zip(panel.words, colors, places, strict=True):
        text = axes.text(x, y, word, color=color, fontsize=FONT, fontweight="bold", va="baseline")
        text.set_path_effects([withStroke(linewidth=2, foreground="#000000")])


@styled
def pictures(panels: Sequence[Panel], columns: int = 3) -> Figure:
    """Pictures with answers (solid) and objects (dashed).

    Args:
        panels: one a picture, in reading order.
        columns: of the figure.
    """
    rows = -(-len(panels) // columns)
    height, width = panels[0].image.shape[1:]
    side = 7.2 / columns
    figure, grid = new_figure(7.2, rows * (side * height / width + 0.28), rows, columns, image_format="jpeg")
    figure.image_quality = 46
    for axes, panel in zip(grid.flat, panels, strict=False):
        _draw_panel(axes, panel, 0.96 * side)
    for axes in grid.flat[len(panels) :]:
        axes.set_axis_off()
    return figure


@styled
def over_thresholds(
    thresholds: Numbers,
    precisions: Numbers,
    recalls: Numbers,
    duplicates: Numbers,
) -> Figure:
    """What a threshold keeps: precision and recall, and how much of the answers are duplicates.

    Args:
        thresholds: on the score.
        precisions: share of the answers above each that are right.
        recalls: share of the objects that they find.
        duplicates: share of the answers above each that lie on a surer one of the same class.
    """
    figure, grid = new_figure(7.2, 2.7)
    axes = grid[0, 0]
    for values, name, color, line in (
        (precisions, "precision", RIGHT_COLOR, "-"),
        (recalls, "recall", WRONG_COLOR, "--"),
        (duplicates, "duplicates", INK, ":"),
    ):
        axes.plot(thresholds, values, color=color, linestyle=line, linewidth=2, label=name)
    axes.set(
        xlabel="threshold on the score", ylabel="share", ylim=(0, 1.02), xlim=(thresholds[0], thresholds[-1])
    )
    axes.grid(color=GRID_COLOR, linewidth=0.5)
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure


def _draw_curve(axes: Axes, recall: np.ndarray, precision: np.ndarray, markers: bool) -> None:
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    levels = np.linspace(0, 1, 101)
    where = np.searchsorted(recall, levels, side="left")
    heights = np.append(envelope, 0.0)[where]
    axes.vlines(levels, 0, heights, color="#A8D0EA", linewidth=0.7, label="101 readings")
    marker = "o" if markers else None
    axes.plot(recall, precision, color=INK, linewidth=1, marker=marker, label="as measured", zorder=3)
    axes.step(
        np.concatenate([[0], recall]),
        np.concatenate([envelope[:1], envelope]),
        where="pre",
        color=WRONG_COLOR,
        linewidth=3,
        label="best from here on",
    )
    axes.set(xlabel="recall", ylabel="precision", xlim=(-0.02, 1.02), ylim=(0, 1.06))
    axes.set_xticks([0, 0.5, 1], ["0", "0.5", "1"])


@styled
def precision_recall(curves: Sequence[tuple[str, np.ndarray, np.ndarray]], markers: bool = False) -> Figure:
    """Precision over recall, the envelope, and the 101 places where it is read.

    Args:
        curves: title, recall and precision after each answer, surest first.
        markers: mark every answer.
    """
    figure, grid = new_figure(7.2, 2.9, columns=len(curves), sharey=True)
    for axes, (title, recall, precision) in zip(grid[0], curves, strict=True):
        _draw_curve(axes, recall, precision, markers)
        axes.set_title(title)
    for axes in grid[0, 1:]:
        axes.set_ylabel("")
    handles, names = grid[0, 0].get_legend_handles_labels()
    if len(curves) == 1:
        grid[0, 0].legend(handles, names, loc="center left", bbox_to_anchor=(1.0, 0.5))
    else:
        figure.legend(handles, names, loc="outside lower center", ncols=3)
    return figure


@styled
def ap_by_overlap(overlaps: Numbers, lines: Sequence[tuple[str, Numbers]]) -> Figure:
    """AP at each overlap that is demanded, one line a size of the objects.

    Args:
        overlaps: the ten thresholds.
        lines: name, and one AP an overlap.
    """
    figure, grid = new_figure(7.2, 2.8)
    axes = grid[0, 0]
    for index, (name, values) in enumerate(lines):
        style = {"color": LEVEL_COLORS[index % 4], "linestyle": LINES[index % 4], "marker": "osD^"[index % 4]}
        axes.plot(overlaps, values, label=name, markersize=4.5, **style)
    axes.set(xlabel="IoU that is demanded", ylabel="AP", ylim=(0, 1), xticks=overlaps)
    axes.grid(color=GRID_COLOR, linewidth=0.5)
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure
