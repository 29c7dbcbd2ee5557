"""The figures of notebooks/14_decoder.ipynb: the layer, references, places, attention among queries."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import Tensor

from detr_tutorial.plots._blocks import (
    MUTED,
    NORM_COLOR,
    POSITION_COLOR,
    draw_attention,
    draw_block,
    draw_line,
    draw_positions,
    draw_residual,
)
from detr_tutorial.plots._style import (
    GRID_COLOR,
    INK,
    REFERENCE_COLOR,
    RIGHT_COLOR,
    WRONG_COLOR,
    Number,
    draw_picture,
    new_figure,
    styled,
)

OBJECT_COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#222222", "#8C510A")
OBJECT_STYLES = ("-", "--", "-.", ":")
WEIGHTS_MAP = LinearSegmentedColormap.from_list("weights", ["#FFFFFF", "#9ECAE1", "#0072B2", "#08306B"])


# ---------------------------------------------------------------- the layer


@styled
def decoder_layer() -> Figure:
    """One deformable decoder layer, and where the two halves of an object query enter."""
    figure, grid = new_figure(7.2, 6.2)
    axes = grid[0, 0]
    axes.set_axis_off()
    axes.set(xlim=(-7.4, 7.2), ylim=(-0.9, 12.3))
    axes.text(0, 11.95, "content of the queries  (B, $N_q$, C)", ha="center", va="center", fontsize=10)
    draw_line(axes, (0, 11.7), (0, 11.0), head=False)
    axes.plot([-1.1, 1.1], [11.0, 11.0], color=INK, linewidth=1.3, zorder=2)
    for door in (-1.1, 0, 1.1):
        draw_line(axes, (door, 11.0), (door, 9.9), head=False)
    draw_positions(axes, -1.1, 10.5, "")
    draw_positions(axes, 0, 10.5, "")
    draw_attention(axes, 0, 9.1, "self-attention (dense)")
    draw_residual(axes, 0, 11.35, 7.8)
    draw_line(axes, (0, 8.74), (0, 8.18))
    draw_block(axes, 0, 7.8, "add and normalize", color=NORM_COLOR)
    draw_line(axes, (0, 7.44), (0, 7.0), (-1.1, 7.0), (-1.1, 5.6), head=False)
    draw_positions(axes, -1.1, 6.45, "")
    draw_attention(axes, 0, 4.8, "deformable attention", doors=("q", "", "v"))
    draw_line(axes, (0, 5.65), (0, 5.18), color=REFERENCE_COLOR)
    draw_residual(axes, 0, 7.0, 3.5)
    draw_line(axes, (0, 4.44), (0, 3.88))
    draw_block(axes, 0, 3.5, "add and normalize", color=NORM_COLOR)
    draw_line(axes, (0, 3.14), (0, 2.28))
    draw_residual(axes, 0, 2.8, 0.7)
    draw_block(axes, 0, 1.9, "feed-forward")
    draw_line(axes, (0, 1.54), (0, 1.08))
    draw_block(axes, 0, 0.7, "add and normalize", color=NORM_COLOR)
    draw_line(axes, (0, 0.34), (0, -0.3))
    axes.text(0, -0.6, "content of the queries  (B, $N_q$, C)", ha="center", va="center", fontsize=10)

    # The position of the queries, on the left: to the queries and keys, and to the reference points.
    draw_block(axes, -5.4, 11.2, "position\n", color="#FBE9D7", width=2.9)
    axes.text(-5.4, 11.05, "of the queries", ha="center", va="center", fontsize=8.5, zorder=4)
    orange = {"color": POSITION_COLOR, "linewidth": 1.4, "zorder": 1}
    axes.plot([-5.4, -5.4], [10.84, 6.45], **orange)
    axes.plot([-5.4, -0.2], [10.5, 10.5], **orange)
    axes.plot([-5.4, -1.3], [6.45, 6.45], **orange)
    draw_line(axes, (-5.4, 6.45), (-5.4, 5.75), color=POSITION_COLOR)
    axes.text(-5.4, 5.45, "linear, sigmoid: once", ha="center", va="center", fontsize=9)
    draw_line(axes, (-5.4, 5.15), (-5.4, 4.5), color=REFERENCE_COLOR, head=False)
    axes.text(-5.4, 4.2, "reference points", ha="center", va="center", fontsize=9.5, color=REFERENCE_COLOR)
    green = {"color": REFERENCE_COLOR, "linewidth": 1.5, "zorder": 1}
    axes.plot([-4.0, -2.5, -2.5], [4.2, 4.2, 5.85], **green)
    axes.plot([-2.5, -1.2], [5.85, 5.85], **green)
    axes.text(-3.25, 3.85, "× valid ratios", ha="center", va="center", fontsize=8.5, color=REFERENCE_COLOR)
    axes.plot([-1.0, 0, 0], [5.85, 5.85, 5.6], **green)
    # The memory, on the right: values only.
    axes.text(5.0, 5.85, "the memory\n(B, S, C)", ha="center", va="center", fontsize=10)
    axes.plot([2.15, 2.15], [5.68, 6.02], color="white", linewidth=4, solid_capstyle="butt", zorder=2.5)
    axes.plot([1.9, 2.4], [5.85, 5.85], color=INK, linewidth=1.3, zorder=2.8)
    draw_line(axes, (3.9, 5.85), (1.1, 5.85), (1.1, 5.5), head=False)
    axes.text(5.0, 10.2, "no query is\npadding: no mask", ha="center", va="center", fontsize=9, color=MUTED)
    axes.text(5.0, 4.75, "padding reads\nas zero", ha="center", va="center", fontsize=9, color=MUTED)
    return figure


# ---------------------------------------------------------------- references


@styled
def spread(panels: Sequence[tuple[str, Tensor]]) -> Figure:
    """Reference points of all object queries at the start, for some ways to begin.

    Args:
        panels: a title and (Q, 2) points as (x, y).
    """
    figure, grid = new_figure(7.2, 2.75, columns=len(panels))
    for axes, (title, points) in zip(grid[0], panels, strict=True):
        x, y = points.detach().T.tolist()
        axes.scatter(x, y, marker=".", s=5, color=REFERENCE_COLOR, linewidths=0)
        axes.set(xlim=(0, 1), ylim=(1, 0), aspect="equal", xticks=[0, 0.5, 1], yticks=[0, 0.5, 1])
        axes.spines[:].set(visible=True, color=MUTED)
        axes.set_title(title, fontsize=9.5, loc="center")
    return figure


@styled
def places(rows: Sequence[tuple[str, Sequence[int], Tensor, Tensor]]) -> Figure:
    """Where some queries answer, over many pictures, for some models.

    Args:
        rows: for each model its name, the queries to show, the boxes (N, Q, 4) as (cx, cy, w, h), and whether
            the answer was given an object, (N, Q).
    """
    columns = len(rows[0][1])
    figure, grid = new_figure(7.2, 1.7 * len(rows), rows=len(rows), columns=columns)
    for axes_of_row, (name, queries, boxes, given) in zip(grid, rows, strict=True):
        for axes, query in zip(axes_of_row, queries, strict=True):
            matched = given[:, query]
            for chosen, area, color, layer in ((~matched, 9, GRID_COLOR, 2), (matched, 30, RIGHT_COLOR, 3)):
                x, y = boxes[chosen, query, :2].T.tolist()
                axes.scatter(x, y, s=area, color=color, edgecolors="white", linewidths=0.4, zorder=layer)
            axes.set(xlim=(0, 1), ylim=(1, 0), aspect="equal", xticks=[], yticks=[])
            axes.spines[:].set(visible=True, color=MUTED)
            axes.set_title(f"query {query}: {int(matched.sum())} objects", fontsize=9, loc="center")
        axes_of_row[0].set_ylabel(name, fontsize=9.5)
    return figure


# ---------------------------------------------------------------- what queries say to each other


def _draw_boxes(axes: Axes, boxes: Tensor, size: tuple[int, int], owners: Sequence[int]) -> None:
    height, width = size
    for (cx, cy, w, h), owner in zip(boxes.tolist(), owners, strict=True):
        corner = ((cx - w / 2) * width - 0.5, (cy - h / 2) * height - 0.5)
        color = MUTED if owner < 0 else OBJECT_COLORS[owner % len(OBJECT_COLORS)]
        line = OBJECT_STYLES[owner % len(OBJECT_STYLES)] if owner >= 0 else ":"
        looks: list[dict[str, Any]] = [
            {"edgecolor": "white", "linewidth": 2.6},
            {"edgecolor": color, "linestyle": line, "linewidth": 1.5},
        ]
        for look in looks:
            axes.add_patch(Rectangle(corner, w * width, h * height, fill=False, zorder=5, **look))


@styled
def answers(image: Tensor, panels: Sequence[tuple[str, Tensor, Sequence[int]]]) -> Figure:
    """Boxes on a picture, in a color and line for each object.

    Args:
        image: (3, H, W) in [0, 1].
        panels: a title, boxes (n, 4) as (cx, cy, w, h) in [0, 1], and the object each is on, or -1.
    """
    figure, grid = new_figure(7.2, 7.2 / len(panels) + 0.35, columns=len(panels), image_format="jpeg")
    height, width = image.shape[1:]
    for axes, (title, boxes, owners) in zip(grid[0], panels, strict=True):
        draw_picture(axes, image * 0.6 + 0.4)
        _draw_boxes(axes, boxes, (height, width), owners)
        axes.set(xlim=(-6, width + 5), ylim=(height + 5, -6))
        axes.set_title(title, fontsize=9.5, loc="center")
    return figure


@styled
def duplicates_by_layer(lines: Sequence[tuple[str, Sequence[int]]]) -> Figure:
    """How many answers are duplicates after each decoder layer.

    Args:
        lines: for each a name, and a number for each layer.
    """
    figure, grid = new_figure(7.2, 2.6)
    axes = grid[0, 0]
    looks = (("o", "-", RIGHT_COLOR), ("s", "--", WRONG_COLOR))
    for (name, counts), (marker, line, color) in zip(lines, looks, strict=False):
        layers = range(1, len(counts) + 1)
        axes.plot(layers, counts, marker=marker, linestyle=line, color=color, label=name)
        for layer, count in zip(layers, counts, strict=True):
            place = {"xytext": (0, 7 if line == "--" else -15), "textcoords": "offset points", "ha": "center"}
            axes.annotate(str(count), (layer, count), **place)
    axes.set(xlabel="decoder layer", ylabel="duplicates", xticks=list(layers))
    axes.margins(y=0.2)
    axes.legend(loc="center right")
    return figure


@styled
def attention_among_queries(
    panels: Sequence[tuple[str, Tensor]], groups: Sequence[tuple[str, int]], answering: Sequence[int]
) -> Figure:
    """Attention weights of queries on queries, sorted by the object that their proposals lie on.

    Args:
        panels: a title and (Q, Q) weights, mean over the heads.
        groups: a name for each object and how many queries it has, in the order of the rows.
        answering: the rows of the queries that answer in the end; their columns are marked.
    """
    figure, grid = new_figure(7.2, 2.75, columns=len(panels))
    edges = np.cumsum([0] + [number for _, number in groups])
    top = max(float(weights.max()) for _, weights in panels)
    for axes, (title, weights) in zip(grid[0], panels, strict=True):
        shown = axes.imshow(weights.numpy(), cmap=WEIGHTS_MAP, vmin=0, vmax=top)
        for edge in edges[1:-1]:
            for line in (axes.axhline, axes.axvline):
                line(edge - 0.5, color=INK, linewidth=0.7, linestyle=":")
        axes.set(yticks=[])
        axes.set_xticks(answering, ["▲"] * len(answering), fontsize=7, color=WRONG_COLOR)
        axes.tick_params(length=0, pad=1)
        axes.set_title(title, fontsize=9.5, loc="center")
        axes.set_xlabel("query that is read", fontsize=9)
    middles = [(start + end - 1) / 2 for start, end in pairwise(edges)]
    grid[0, 0].set_yticks(middles, [name for name, _ in groups], fontsize=8.5)
    grid[0, 0].set_ylabel("query that reads", fontsize=9)
    figure.colorbar(shown, ax=grid, shrink=0.6, pad=0.01).ax.tick_params(labelsize=8)
    return figure


# ---------------------------------------------------------------- a reader's answer against the target


@styled
def points_against_target(yours: Tensor, target: Tensor) -> Figure:
    """References (Q, L, 2) as (x, y): yours as squares, the target's as crosses, one panel a level."""
    levels = target.shape[1]
    figure, grid = new_figure(7.2, 7.2 / max(levels, 2) + 0.3, columns=levels)
    marks: tuple[tuple[Tensor, str, str, Number], ...] = (
        (target, "+", RIGHT_COLOR, 90),
        (yours, "s", WRONG_COLOR, 22),
    )
    for level, axes in enumerate(grid[0]):
        for points, marker, color, area in marks:
            x, y = points[:, level].T.tolist()
            axes.scatter(
                x, y, marker=marker, s=area, color=color, label="target" if marker == "+" else "yours"
            )
        axes.set(xlim=(-0.05, 1.05), ylim=(1.05, -0.05), aspect="equal")
        axes.set_title(f"level {level}", fontsize=9.5)
    grid[0, 0].legend(loc="lower left")
    return figure
