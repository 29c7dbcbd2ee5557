"""The figures of notebooks/13_encoder.ipynb: the layer, how far tokens hear, and what tokens become alike."""

from collections.abc import Sequence

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from torch import Tensor

from detr_tutorial.plots._blocks import (
    NORM_COLOR,
    POSITION_COLOR,
    draw_attention,
    draw_block,
    draw_line,
    draw_positions,
    draw_residual,
)
from detr_tutorial.plots._style import (
    INK,
    LEVEL_COLORS,
    REFERENCE_COLOR,
    RIGHT_COLOR,
    WRONG_COLOR,
    draw_picture,
    draw_reference_point,
    new_figure,
    styled,
)

REACH_MAP = LinearSegmentedColormap.from_list("reach", ["#D6E6F2", "#56A0D3", "#0072B2", "#08306B"])


# ---------------------------------------------------------------- the layer


@styled
def encoder_layer() -> Figure:
    """One deformable encoder layer, beside the stack that it belongs to."""
    figure, grid = new_figure(7.2, 5.0, columns=2, width_ratios=[1.15, 1])
    layer, stack = grid[0]
    for axes in (layer, stack):
        axes.set_axis_off()
        axes.set_ylim(2.0, 11.5)
    layer.set_xlim(-4.6, 2.9)
    layer.set_title("one layer", loc="center", fontsize=12)
    layer.text(0, 11.1, "tokens  (B, S, C)", ha="center", va="center", fontsize=10)
    draw_line(layer, (0, 10.85), (0, 10.1), head=False)
    layer.plot([-1.1, 1.1], [10.1, 10.1], color=INK, linewidth=1.3, zorder=2)
    for door in (-1.1, 1.1):
        draw_line(layer, (door, 10.1), (door, 8.9), head=False)
    draw_positions(layer, -1.1, 9.72, "positions")
    layer.plot([0, 0], [9.25, 8.9], color=REFERENCE_COLOR, linewidth=1.5, zorder=2)
    layer.plot([-2.0, -1.2], [9.25, 9.25], color=REFERENCE_COLOR, linewidth=1.5, zorder=1)
    layer.plot([-1.0, 0], [9.25, 9.25], color=REFERENCE_COLOR, linewidth=1.5, zorder=1)
    layer.text(-2.08, 9.22, "references", ha="right", va="center", fontsize=9, color=REFERENCE_COLOR)
    draw_attention(layer, 0, 8.1, "deformable attention", doors=("q", "", "v"))
    draw_line(layer, (0, 8.95), (0, 8.48), color=REFERENCE_COLOR)
    draw_residual(layer, 0, 10.5, 6.8)
    draw_line(layer, (0, 7.74), (0, 7.18))
    draw_block(layer, 0, 6.8, "add and normalize", color=NORM_COLOR)
    draw_line(layer, (0, 6.44), (0, 5.28))
    draw_residual(layer, 0, 6.0, 3.6)
    draw_block(layer, 0, 4.9, "feed-forward")
    draw_line(layer, (0, 4.54), (0, 3.98))
    draw_block(layer, 0, 3.6, "add and normalize", color=NORM_COLOR)
    draw_line(layer, (0, 3.24), (0, 2.65))
    layer.text(0, 2.35, "tokens  (B, S, C)", ha="center", va="center", fontsize=10)

    stack.set_xlim(-3.6, 3.2)
    stack.set_title("six layers", loc="center", fontsize=12)
    stack.text(0.7, 11.1, "tokens of all levels", ha="center", va="center", fontsize=10)
    heights = (9.6, 8.3, 7.0, 4.6)
    draw_line(stack, (0.7, 10.85), (0.7, 9.98))
    for number, height in zip((1, 2, 3, 6), heights, strict=True):
        draw_block(stack, 0.7, height, f"layer {number}", width=3.0)
        draw_line(stack, (-2.1, height + 0.15), (-0.82, height + 0.15), color=POSITION_COLOR)
        draw_line(stack, (-1.8, height - 0.15), (-0.82, height - 0.15), color=REFERENCE_COLOR)
    for upper, lower in ((9.6, 8.3), (8.3, 7.0)):
        draw_line(stack, (0.7, upper - 0.36), (0.7, lower + 0.38))
    draw_line(stack, (0.7, 6.64), (0.7, 6.1), head=False)
    stack.text(0.7, 5.8, "...", ha="center", va="center", fontsize=13)
    draw_line(stack, (0.7, 5.5), (0.7, 4.98))
    draw_line(stack, (0.7, 4.24), (0.7, 3.4))
    stack.text(0.7, 3.1, "the memory  (B, S, C)", ha="center", va="center", fontsize=10)
    stack.plot([-2.1, -2.1], [9.75, 4.75], color=POSITION_COLOR, linewidth=1.3, zorder=1)
    stack.plot([-1.8, -1.8], [9.45, 4.45], color=REFERENCE_COLOR, linewidth=1.3, zorder=1)
    stack.text(-2.25, 8.0, "positions", ha="right", va="center", fontsize=9, color=POSITION_COLOR)
    stack.text(-2.25, 7.4, "references", ha="right", va="center", fontsize=9, color=REFERENCE_COLOR)
    stack.text(-2.25, 6.6, "the same\nin every\nlayer", ha="right", va="center", fontsize=9)
    return figure


# ---------------------------------------------------------------- how far tokens hear


def _gray(axes: Axes, image: Tensor) -> None:
    draw_picture(axes, image.mean(0, keepdim=True).expand(3, -1, -1) * 0.5 + 0.5)


def _extent(image: Tensor) -> tuple[float, float, float, float]:
    height, width = image.shape[1:]
    return (-0.5, width - 0.5, height - 0.5, -0.5)


@styled
def reach_on_picture(
    image: Tensor, rows: Sequence[tuple[str, Sequence[tuple[str, Tensor]]]], cell: tuple[int, int]
) -> Figure:
    """How strongly a token depends on every cell of the finest level, after some layers.

    Args:
        image: (3, H, W) in [0, 1].
        rows: for each, its name, and a title and (h, w) sizes of the gradient for each panel.
        cell: (row, column) of the token.
    """
    columns = len(rows[0][1])
    figure, grid = new_figure(
        7.2, 1.5 * len(rows) + 0.35, rows=len(rows), columns=columns, image_format="jpeg"
    )
    height, width = image.shape[1:]
    for axes_of_row, (name, panels) in zip(grid, rows, strict=True):
        for axes, (title, sizes) in zip(axes_of_row, panels, strict=True):
            _gray(axes, image)
            relative = (sizes / sizes.max()).clamp(min=1e-4)
            heard = torch.where(sizes > 0, relative.log10(), torch.nan).float()
            shown = axes.imshow(
                np.ma.masked_invalid(heard.numpy()), extent=_extent(image), cmap=REACH_MAP, vmin=-4, vmax=0,
                interpolation="nearest", alpha=0.9,
            )  # fmt: skip
            x = (cell[1] + 0.5) / sizes.shape[1] * width - 0.5
            y = (cell[0] + 0.5) / sizes.shape[0] * height - 0.5
            draw_reference_point(axes, x, y, size=8)
            axes.set_title(title, fontsize=9.5, loc="center")
        axes_of_row[0].set_ylabel(name, fontsize=9.5)
    bar = figure.colorbar(shown, ax=grid, ticks=[-4, -2, 0], shrink=0.8, pad=0.01)
    bar.ax.set_yticklabels(["1/10000\nor less", "1/100", "largest"], fontsize=8)
    return figure


@styled
def reach_by_layer(counts: Sequence[tuple[str, Sequence[int]]], total: Sequence[int]) -> Figure:
    """What share of the tokens a token has heard of, after 0, 1, 2, ... layers.

    Args:
        counts: for each line its name, and the tokens heard after 0, 1, 2, ... layers.
        total: tokens there are, for each line.
    """
    figure, grid = new_figure(7.2, 2.7)
    axes = grid[0, 0]
    looks = (("s", "--", WRONG_COLOR), ("o", "-", RIGHT_COLOR), ("^", ":", LEVEL_COLORS[2]))
    for (name, heard), most, (marker, line, color) in zip(counts, total, looks, strict=False):
        shares = [100 * number / most for number in heard]
        axes.plot(range(len(shares)), shares, marker=marker, linestyle=line, color=color, label=name)
    axes.set(xlabel="encoder layers", ylabel="tokens heard of, %", ylim=(-3, 105))
    axes.legend(loc="lower right")
    return figure


# ---------------------------------------------------------------- what becomes alike


@styled
def alike(image: Tensor, rows: Sequence[tuple[tuple[int, int], Sequence[tuple[str, Tensor]]]]) -> Figure:
    """How similar one token is to all tokens of the finest level, before and after encoder layers.

    Args:
        image: (3, H, W) in [0, 1].
        rows: for each token its (row, column), and a title and (h, w) similarities for each panel.
    """
    columns = len(rows[0][1]) + 1
    figure, grid = new_figure(7.2, 1.75 * len(rows), rows=len(rows), columns=columns, image_format="jpeg")
    height, width = image.shape[1:]
    for number, (axes_of_row, ((row, column), panels)) in enumerate(zip(grid, rows, strict=True)):
        cells = panels[0][1].shape
        x, y = (column + 0.5) / cells[1] * width - 0.5, (row + 0.5) / cells[0] * height - 0.5
        draw_picture(axes_of_row[0], image)
        draw_reference_point(axes_of_row[0], x, y, size=9)
        axes_of_row[0].set_ylabel(f"token {'ABCDEFGH'[number]}", fontsize=9.5)
        for axes, (title, similarity) in zip(axes_of_row[1:], panels, strict=True):
            shown = axes.imshow(similarity.numpy(), extent=_extent(image), cmap="PuOr_r", vmin=-1, vmax=1)
            axes.set(xticks=[], yticks=[])
            axes.spines[:].set_visible(False)
            draw_reference_point(axes, x, y, size=9)
            if number == 0:
                axes.set_title(title, fontsize=9.5, loc="center")
    figure.colorbar(shown, ax=grid, ticks=[-1, 0, 1], shrink=0.8, pad=0.01).ax.tick_params(labelsize=8)
    return figure
