"""The figures of notebooks/05_detr.ipynb: attention in numbers, the two layers, and where DETR looks."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
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
    draw_plus,
    draw_residual,
    draw_self_attention,
)
from detr_tutorial.plots._style import (
    GRID_COLOR,
    INK,
    LEVEL_COLORS,
    RIGHT_COLOR,
    WRONG_COLOR,
    Number,
    draw_picture,
    draw_reference_point,
    new_figure,
    styled,
)

OBJECT_COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#222222", "#8C510A")
OBJECT_STYLES = ("-", "--", "-.", ":")
# From invisible to strong, so that the picture shows where nobody looks.
WEIGHTS_MAP = LinearSegmentedColormap.from_list("weights", ["#FFFFFF", "#9ECAE1", "#0072B2", "#08306B"])


# ---------------------------------------------------------------- small numbers


def _number_table(axes: Axes, values: Tensor, *, digits: int, top: float, title: str) -> None:
    rows, columns = values.shape
    axes.imshow(values.numpy(), cmap=WEIGHTS_MAP, vmin=0, vmax=top, aspect="equal")
    for row in range(rows):
        for column in range(columns):
            value = values[row, column].item()
            axes.text(
                column,
                row,
                f"{value:.{digits}f}",
                ha="center",
                va="center",
                fontsize=10,
                color="white" if value > 0.55 * top else INK,
            )
    axes.set_title(title, loc="center")
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    axes.set_xticks(np.arange(columns + 1) - 0.5, minor=True)
    axes.set_yticks(np.arange(rows + 1) - 0.5, minor=True)
    axes.tick_params(which="minor", length=0)
    axes.grid(which="minor", color="white", linewidth=2)


@styled
def attention_in_numbers(scores: Tensor, weights: Tensor, values: Tensor, outputs: Tensor) -> Figure:
    """Scores, weights, values and outputs of a small attention, number by number.

    Args:
        scores: (Q, S).
        weights: (Q, S), each row sums to 1.
        values: (S, D).
        outputs: (Q, D).
    """
    queries, keys = scores.shape
    width = values.shape[1]
    figure, grid = new_figure(7.2, 2.4, columns=4, width_ratios=[keys, keys, width, width])
    top = float(values.abs().max()) * 1.3
    _number_table(grid[0, 0], scores, digits=1, top=float(scores.max()) * 1.3, title="scores")
    _number_table(grid[0, 1], weights, digits=2, top=1.0, title="weights")
    _number_table(grid[0, 2], values, digits=0, top=top, title="values")
    _number_table(grid[0, 3], outputs, digits=1, top=top, title="outputs")
    for axes in grid[0, :2]:
        axes.set_xticks(range(keys), [f"key {s}" for s in range(keys)], fontsize=8)
    grid[0, 0].set_yticks(range(queries), [f"query {q}" for q in range(queries)], fontsize=8)
    grid[0, 1].set_yticks([])
    grid[0, 2].set_yticks(range(keys), [f"of key {s}" for s in range(keys)], fontsize=8)
    grid[0, 3].set_yticks(range(queries), [f"query {q}" for q in range(queries)], fontsize=8)
    for axes in grid[0, 2:]:
        axes.set_xticks(range(width), [" "] * width)
    grid[0, 0].set_xlabel("how well they fit", fontsize=9)
    grid[0, 1].set_xlabel("each row sums to 1", fontsize=9)
    grid[0, 2].set_xlabel("what is read", fontsize=9)
    grid[0, 3].set_xlabel("what comes out", fontsize=9)
    return figure


# ---------------------------------------------------------------- the two layers


@styled
def two_layers() -> Figure:
    """One encoder layer and one decoder layer, as published, and the doors where positions enter."""
    figure, grid = new_figure(7.2, 6.9, columns=2, width_ratios=[1, 1.12])
    for axes in grid[0]:
        axes.set_axis_off()
        axes.set_ylim(-0.9, 11.6)
    left, right = grid[0]

    left.set_xlim(-4.35, 2.9)
    left.set_title("encoder layer", loc="center", fontsize=12)
    left.text(0, 11.05, "tokens  (B, S, C)", ha="center", va="center", fontsize=10)
    draw_line(left, (0, 10.8), (0, 10.4), head=False)
    draw_self_attention(left, 0, 8.3, "self-attention", "positions\nof the cells")
    draw_residual(left, 0, 10.5, 7.0)
    draw_line(left, (0, 7.94), (0, 7.38))
    draw_block(left, 0, 7.0, "add and normalize", color=NORM_COLOR)
    draw_line(left, (0, 6.64), (0, 5.48))
    draw_residual(left, 0, 6.2, 3.8)
    draw_block(left, 0, 5.1, "feed-forward")
    draw_line(left, (0, 4.74), (0, 4.18))
    draw_block(left, 0, 3.8, "add and normalize", color=NORM_COLOR)
    draw_line(left, (0, 3.44), (0, 2.75))
    left.text(0, 2.5, "tokens  (B, S, C)", ha="center", va="center", fontsize=10)
    left.text(
        0,
        0.55,
        "q, k, v: query, key, value\n"
        "+ : positions of the cells or\nthe query embedding are added,\n"
        "in every layer again,\nand never to a value",
        ha="center",
        va="center",
        fontsize=9.5,
        color=POSITION_COLOR,
    )

    right.set_xlim(-4.35, 4.5)
    right.set_title("decoder layer", loc="center", fontsize=12)
    right.text(0, 11.05, "queries  (B, $N_q$, C)", ha="center", va="center", fontsize=10)
    draw_line(right, (0, 10.8), (0, 10.4), head=False)
    draw_self_attention(right, 0, 8.3, "self-attention", "query\nembedding")
    draw_residual(right, 0, 10.5, 7.0)
    draw_line(right, (0, 7.94), (0, 7.38))
    draw_block(right, 0, 7.0, "add and normalize", color=NORM_COLOR)
    # Cross-attention: the query comes from above, key and value from the encoder.
    draw_line(right, (0, 6.64), (0, 6.2), (-1.1, 6.2), (-1.1, 4.75), head=False)
    draw_residual(right, 0, 6.2, 2.9)
    draw_plus(right, -1.1, 5.4)
    right.plot([-2.0, -1.3], [5.4, 5.4], color=POSITION_COLOR, linewidth=1.3, zorder=1)
    right.text(-2.08, 5.4, "query\nembedding", ha="right", va="center", fontsize=9, color=POSITION_COLOR)
    right.text(2.35, 5.72, "tokens of\nthe encoder", ha="left", va="bottom", fontsize=9)
    for y in (5.65, 5.15):  # bridges, where lines cross without meeting
        right.plot(
            [2.15, 2.15], [y - 0.17, y + 0.17], color="white", linewidth=4, solid_capstyle="butt", zorder=2.5
        )
    right.plot([1.9, 2.4], [5.65, 5.65], color=INK, linewidth=1.3, zorder=2.8)
    draw_line(right, (4.4, 5.65), (1.1, 5.65), (1.1, 4.75), head=False)
    draw_line(right, (1.1, 5.65), (0, 5.65), (0, 4.75), head=False)
    draw_plus(right, 0, 5.15)
    for ends in ([0.2, 0.94], [1.26, 2.3]):
        right.plot(ends, [5.15, 5.15], color=POSITION_COLOR, linewidth=1.3, zorder=2.8)
    right.text(2.37, 5.12, "positions", ha="left", va="center", fontsize=9, color=POSITION_COLOR)
    draw_attention(right, 0, 4.2, "cross-attention")
    draw_line(right, (0, 3.84), (0, 3.28))
    draw_block(right, 0, 2.9, "add and normalize", color=NORM_COLOR)
    draw_line(right, (0, 2.54), (0, 1.78))
    draw_residual(right, 0, 2.2, 0.3)
    draw_block(right, 0, 1.4, "feed-forward")
    draw_line(right, (0, 1.04), (0, 0.68))
    draw_block(right, 0, 0.3, "add and normalize", color=NORM_COLOR)
    draw_line(right, (0, -0.06), (0, -0.5))
    right.text(0, -0.72, "queries  (B, $N_q$, C)", ha="center", va="center", fontsize=10)
    return figure


# ---------------------------------------------------------------- on a picture


def _heat(axes: Axes, image: Tensor, weights: Tensor, color: str) -> None:
    """The picture in gray, and the weights of its cells as a layer of color over it.

    The largest weight has the full color, unless it is less than five times an even share.
    """
    height, width = image.shape[1:]
    draw_picture(axes, image.mean(0, keepdim=True).expand(3, -1, -1) * 0.5 + 0.5)
    strength = (weights / weights.max().clamp(min=5 / weights.numel())).numpy()
    layer = np.zeros((*strength.shape, 4))
    layer[..., :3] = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    layer[..., 3] = 0.95 * strength
    extent = (-0.5, width - 0.5, height - 0.5, -0.5)
    axes.imshow(layer, extent=extent, interpolation="nearest", zorder=2)


def _cell_center(cell: tuple[int, int], cells: tuple[int, int], size: tuple[int, int]) -> tuple[float, float]:
    (row, column), (rows, columns), (height, width) = cell, cells, size
    return (column + 0.5) / columns * width - 0.5, (row + 0.5) / rows * height - 0.5


@styled
def terms_of_a_score(image: Tensor, terms: Sequence[tuple[str, Tensor]], cell: tuple[int, int]) -> Figure:
    """The parts that a score is made of, as maps over a photograph, all in one scale.

    Args:
        image: (3, H, W) in [0, 1], with its padding.
        terms: a title and (h, w) scores of one query with all keys, NaN where a key is padding.
        cell: (row, column) of the query.
    """
    ratios = [1.0] * (len(terms) + 1) + [0.05]
    figure, grid = new_figure(7.2, 1.35, columns=len(terms) + 2, width_ratios=ratios, image_format="jpeg")
    height, width = image.shape[1:]
    rows, columns = terms[0][1].shape
    draw_picture(grid[0, 0], image)
    grid[0, 0].set_title("the query", fontsize=9.5, loc="center")
    extent = (-0.5, width - 0.5, height - 0.5, -0.5)
    spreads = [scores - scores.nanmean() for _, scores in terms]
    reach = max(float(spread.nan_to_num().abs().flatten().quantile(0.97)) for spread in spreads)
    look: dict[str, Any] = {"extent": extent, "cmap": "RdBu_r", "vmin": -reach, "vmax": reach}
    x, y = _cell_center(cell, (rows, columns), (height, width))
    for axes, (title, _), spread in zip(grid[0, 1:-1], terms, spreads, strict=True):
        shown = axes.imshow(spread.numpy(), **look)
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set_visible(False)
        axes.set_title(title, fontsize=9.5, loc="center")
        axes.plot([x], [y], marker="s", markersize=7, markerfacecolor="none", markeredgecolor=INK)
    figure.colorbar(shown, cax=grid[0, -1], extend="both").ax.tick_params(labelsize=8)
    draw_reference_point(grid[0, 0], x, y, size=8)
    return figure


@styled
def encoder_looks(image: Tensor, maps: Sequence[tuple[tuple[int, int], Tensor]]) -> Figure:
    """Where a few cells look in the encoder.

    Args:
        image: (3, H, W) in [0, 1].
        maps: (row, column) of the cell that looks, and (h, w) its weights, the mean over the heads.
    """
    figure, grid = new_figure(7.2, 1.75, columns=len(maps) + 1, image_format="jpeg")
    draw_picture(grid[0, 0], image)
    size = (image.shape[1], image.shape[2])
    for number, (axes, (cell, weights)) in enumerate(zip(grid[0, 1:], maps, strict=True)):
        cells = (weights.shape[0], weights.shape[1])
        _heat(axes, image, weights, LEVEL_COLORS[0])
        x, y = _cell_center(cell, cells, size)
        draw_reference_point(axes, x, y, size=8)
        draw_reference_point(grid[0, 0], x, y, size=6)
        letter = "ABCDEFGH"[number]
        grid[0, 0].text(x + 4, y - 4, letter, fontsize=9, color="white", fontweight="bold")
        axes.set_title(f"cell {letter}", fontsize=9.5, loc="center")
        axes.set_xlabel(f"largest weight {weights.max():.2f}", fontsize=8.5)
    return figure


def _draw_box(axes: Axes, box: Sequence[Number], size: tuple[int, int], **style: Any) -> None:
    (cx, cy, w, h), (height, width) = box, size
    corner = ((cx - w / 2) * width - 0.5, (cy - h / 2) * height - 0.5)
    axes.add_patch(Rectangle(corner, w * width, h * height, fill=False, zorder=5, **style))


@styled
def decoder_looks(
    image: Tensor, found: Sequence[tuple[str, Sequence[float], Tensor]], columns: int = 4
) -> Figure:
    """What was answered, and where the query of each answer looked.

    Args:
        image: (3, H, W) in [0, 1].
        found: for each object its label, its box (cx, cy, w, h) in [0, 1], and its query's (h, w) weights.
        columns: panels in a row.
    """
    panels = 1 + len(found)
    rows = -(-panels // columns)
    figure, grid = new_figure(7.2, 2.0 * rows, rows=rows, columns=columns, image_format="jpeg")
    size = (image.shape[1], image.shape[2])
    every = grid.flatten()
    draw_picture(every[0], image)
    every[0].set_title(f"{len(found)} answers", fontsize=9.5, loc="center")
    for number, (label, box, weights) in enumerate(found):
        color = OBJECT_COLORS[number % len(OBJECT_COLORS)]
        look = {"edgecolor": color, "linewidth": 1.8, "linestyle": OBJECT_STYLES[number % len(OBJECT_STYLES)]}
        axes = every[number + 1]
        _heat(axes, image, weights, color)
        _draw_box(axes, box, size, **look)
        _draw_box(every[0], box, size, edgecolor="white", linewidth=2.6)
        _draw_box(every[0], box, size, **look)
        axes.set_title(label, fontsize=9.5, loc="center", color=color)
    for axes in every[panels:]:
        axes.set_axis_off()
    return figure


@styled
def heads_look(image: Tensor, box: Sequence[Number], layers: Sequence[tuple[str, Tensor]]) -> Figure:
    """Where each head of one query looks, layer by layer.

    Args:
        image: (3, H, W) in [0, 1].
        box: (cx, cy, w, h) in [0, 1], what the query found.
        layers: a name and (M, h, w) weights of each head.
    """
    heads = len(layers[0][1])
    width = min(7.2, 1.75 * heads + 0.4)
    height = 0.97 * width / heads * len(layers) + 0.2
    figure, grid = new_figure(width, height, rows=len(layers), columns=heads, image_format="jpeg")
    size = (image.shape[1], image.shape[2])
    for row, (name, weights) in enumerate(layers):
        for head, axes in enumerate(grid[row]):
            _heat(axes, image, weights[head], LEVEL_COLORS[0])
            _draw_box(axes, box, size, edgecolor=WRONG_COLOR, linewidth=1.4)
            if row == 0:
                axes.set_title(f"head {head}", fontsize=9.5, loc="center")
        grid[row, 0].set_ylabel(name, fontsize=9.5)
    return figure


@styled
def slots(boxes: Tensor, given: Tensor, queries: Sequence[int]) -> Figure:
    """What a few queries answered on many pictures: a dot at the center of every box.

    Args:
        boxes: (N, Q, 4) as (cx, cy, w, h) in [0, 1], of N pictures.
        given: (N, Q) bool, whether the answer was matched with an object.
        queries: which to draw.
    """
    columns = -(-len(queries) // 2)
    figure, grid = new_figure(7.2, 3.9, rows=2, columns=columns)
    for axes, query in zip(grid.flatten(), queries, strict=False):
        matched = given[:, query]
        for chosen, area, color, layer in ((~matched, 9, GRID_COLOR, 2), (matched, 34, RIGHT_COLOR, 3)):
            x, y = boxes[chosen, query, :2].T.tolist()
            axes.scatter(x, y, s=area, color=color, edgecolors="white", linewidths=0.4, zorder=layer)
        axes.set(xlim=(0, 1), ylim=(1, 0), aspect="equal", xticks=[], yticks=[])
        axes.spines[:].set(visible=True, color=MUTED)
        axes.set_title(f"query {query}", fontsize=9.5, loc="center")
        axes.set_xlabel(f"{int(matched.sum())} objects", fontsize=8.5)
    for axes in grid.flatten()[len(queries) :]:
        axes.set_axis_off()
    return figure


# ---------------------------------------------------------------- a reader's answer against the target


@styled
def answer_against_target(yours: Tensor, target: Tensor) -> Figure:
    """Two matrices of numbers side by side, and their difference."""
    figure, grid = new_figure(7.2, 2.3, columns=3)
    reach = float(torch.cat([yours, target]).abs().max())
    panels = (("yours", yours), ("target", target), ("difference", yours - target))
    for axes, (title, values) in zip(grid[0], panels, strict=True):
        axes.imshow(values.numpy(), cmap="RdBu_r", vmin=-reach, vmax=reach, aspect="auto")
        axes.set(xticks=[], yticks=[], xlabel="channels", ylabel="queries")
        axes.set_title(title)
    return figure
