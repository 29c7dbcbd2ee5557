"""The figures of notebooks/03_backbone.ipynb: cells, features, statistics, masks, what padding changes."""

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from matplotlib.axes import Axes
from matplotlib.colors import Normalize, PowerNorm
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle
from torch import Tensor

from detr_tutorial.plots._style import (
    GRID_COLOR,
    INK,
    LEVEL_COLORS,
    PADDING_COLOR,
    RIGHT_COLOR,
    WRONG_COLOR,
    draw_picture,
    draw_reference_point,
    new_figure,
    styled,
)

MUTED = "#666666"


def _grid(axes: Axes, cells: tuple[int, int], stride: int, color: str, linewidth: float) -> None:
    """Lines around `cells` (rows, columns), each of `stride` x `stride` pixels, over a picture."""
    height, width = (number * stride for number in cells)
    style = {"color": color, "linewidth": linewidth, "clip_on": False}
    axes.vlines(np.arange(0, width + 1, stride) - 0.5, -0.5, height - 0.5, **style)
    axes.hlines(np.arange(0, height + 1, stride) - 0.5, -0.5, width - 0.5, **style)


def as_colors(features: Tensor) -> Tensor:
    """Turn a map (C, H, W) into a picture (3, H, W): its three principal components as red, green and blue.

    Cells with similar features get similar colors; the colors themselves mean nothing.
    """
    _, height, width = features.shape
    cells = features.detach().flatten(1).T.double()
    left, sizes, _ = torch.linalg.svd(cells - cells.mean(0), full_matrices=False)
    components = left[:, :3] * sizes[:3]
    # The sign of a direction is arbitrary: let the largest value be positive.
    components = components * components.gather(0, components.abs().argmax(0)[None]).sign()
    low, high = components.quantile(0.02, dim=0), components.quantile(0.98, dim=0)
    colors = ((components - low) / (high - low)).clamp(0, 1)
    return colors.T.reshape(3, height, width).float()


@styled
def pixels_to_cells(image: Tensor, features: Sequence[Tensor], strides: Sequence[int]) -> Figure:
    """A photograph, and its feature maps with the principal components as colors.

    Args:
        image: (3, H, W) in [0, 1].
        features: one (C, H_l, W_l) map a level.
        strides: pixels a cell, one a level.
    """
    height, width = image.shape[1:]
    # Every panel shows the same pixels: up to the end of the last and coarsest cell.
    right, bottom = (
        max(f.shape[axis] * stride for f, stride in zip(features, strides, strict=True)) for axis in (2, 1)
    )
    figure, grid = new_figure(7.2, 3.05, rows=2, columns=len(features) + 1, image_format="jpeg")
    draw_picture(grid[0, 0], image)
    grid[0, 0].set_title(f"{height} x {width} pixels")
    grid[0, 0].set(xlim=(-1.5, right + 0.5), ylim=(bottom + 0.5, -1.5))
    grid[1, 0].set_axis_off()
    grid[1, 0].text(
        0.5,
        0.5,
        "above: the cells\nbelow: what they hold\n(similar features,\nsimilar color)",
        ha="center",
        va="center",
        fontsize=9,
        color=MUTED,
        transform=grid[1, 0].transAxes,
    )
    for level, (feature, stride) in enumerate(zip(features, strides, strict=True)):
        channels, rows, columns = feature.shape
        above, below = grid[:, level + 1]
        draw_picture(above, image)
        _grid(above, (rows, columns), stride, LEVEL_COLORS[level], 0.5 + 0.25 * level)
        above.set_title(f"C{level + 3}: stride {stride}")
        extent = (-0.5, columns * stride - 0.5, rows * stride - 0.5, -0.5)
        below.imshow(as_colors(feature).permute(1, 2, 0).numpy(), extent=extent)
        below.set(xticks=[], yticks=[])
        below.spines[:].set_visible(False)
        for axes in (above, below):
            axes.set(xlim=(-1.5, right + 0.5), ylim=(bottom + 0.5, -1.5))
        below.set_xlabel(f"{rows} x {columns} cells, {channels} channels", fontsize=8.5)
    return figure


@styled
def receptive_fields(shares: Sequence[Tensor], sides: Sequence[int], center: tuple[int, int]) -> Figure:
    """How much each pixel moves one cell, level by level; each panel is as large as the cell's window.

    Args:
        shares: (H, W) size of the gradient of one cell with respect to each pixel, one a level.
        sides: side of the window, in pixels, one a level.
        center: (x, y) of the cells, in pixels.
    """
    figure, grid = new_figure(7.2, 2.75, columns=len(shares), image_format="jpeg")
    x, y = center
    shown = None
    for level, (axes, share, side) in enumerate(zip(grid[0], shares, sides, strict=True)):
        # Smoothed over 1/30 of the window, because the gradient jumps from pixel to pixel.
        width = 2 * (side // 60) + 1
        heat = F.avg_pool2d(share[None, None], width, stride=1, padding=width // 2)[0, 0]
        shown = axes.imshow((heat / heat.max()).numpy(), norm=PowerNorm(0.5, 0, 1), cmap="inferno")
        for part, style in ((1, "--"), (4, "-")):
            corner = (x - side / part / 2, y - side / part / 2)
            box = {"fill": False, "edgecolor": "white", "linewidth": 1.4, "linestyle": style}
            axes.add_patch(Rectangle(corner, side / part, side / part, **box))
        draw_reference_point(axes, x, y, size=8)
        reach = side * 0.52
        axes.set(xlim=(x - reach, x + reach), ylim=(y + reach, y - reach), xticks=[], yticks=[])
        axes.set_title(f"one cell of C{level + 3}", loc="center")
        axes.set_xlabel(f"window: {side} x {side} pixels", fontsize=9)
    assert shown is not None
    bar = figure.colorbar(shown, ax=grid, shrink=0.8, aspect=25, pad=0.02)
    bar.set_label("gradient, largest = 1", fontsize=9)
    bar.set_ticks([0, 0.1, 0.5, 1], labels=["0", "0.1", "0.5", "1"])
    return figure


@styled
def statistics_of_batches(panels: Sequence[tuple[int, Tensor]]) -> Figure:
    """How far the mean of a batch lies from the mean of all crops, for batches of several sizes.

    Args:
        panels: crops in a batch, and (draws, channels) errors in standard deviations of the channel.
    """
    figure, grid = new_figure(7.2, 2.6)
    axes = grid[0, 0]
    generator = np.random.default_rng(0)
    for row, (_, errors) in enumerate(panels):
        values = errors.flatten().numpy()
        shown = generator.choice(values, size=min(600, len(values)), replace=False)
        heights = row + generator.uniform(-0.3, 0.3, len(shown))
        axes.scatter(shown, heights, s=5, color=RIGHT_COLOR, alpha=0.35, linewidths=0)
        spread = float(values.std())
        for x in (-spread, spread):
            axes.plot([x, x], [row - 0.4, row + 0.4], color=WRONG_COLOR, linewidth=2)
    axes.axvline(0, color=INK, linewidth=1)
    axes.set_yticks(range(len(panels)), [f"{size} crops" if size > 1 else "1 crop" for size, _ in panels])
    axes.set_ylim(len(panels) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel("mean of the batch minus mean of all, in standard deviations of the channel")
    handles = [
        Line2D(
            [],
            [],
            marker="o",
            linestyle="none",
            color=RIGHT_COLOR,
            markersize=4,
            label="one channel, one batch (600 of all)",
        ),
        Line2D([], [], color=WRONG_COLOR, linewidth=2, label="± their standard deviation"),
    ]
    figure.legend(handles=handles, loc="outside upper right", ncols=2)
    return figure


@styled
def masks_by_mode(
    image: Tensor, masks: Sequence[tuple[str, Tensor, bool]], canvas: tuple[int, int]
) -> Figure:
    """What several ways to shrink a mask make of the same photograph.

    Args:
        image: (3, h, w) in [0, 1], the photograph without its padding.
        masks: a title, the (H_l, W_l) mask, True where it is padding, and whether this is the right one.
        canvas: (height, width) of the padded batch, in pixels; a multiple of the mask's.
    """
    height, width = canvas
    valid_height, valid_width = image.shape[1:]
    figure, grid = new_figure(7.2, 3.2, columns=len(masks), image_format="jpeg")
    for axes, (title, mask, right) in zip(grid[0], masks, strict=True):
        canvas_image = torch.full((3, height, width), 0.93)
        canvas_image[:, :valid_height, :valid_width] = image
        draw_picture(axes, canvas_image)
        rows, columns = mask.shape
        stride = height // rows
        for row, column in mask.nonzero().tolist():
            x, y = column * stride, row * stride
            style = {"hatch": "////", "linewidth": 0, "facecolor": PADDING_COLOR, "edgecolor": "#888888"}
            axes.add_patch(Rectangle((x - 0.5, y - 0.5), stride, stride, zorder=3, **style))
            lost_width, lost_height = min(stride, valid_width - x), min(stride, valid_height - y)
            if lost_width > 0 and lost_height > 0:
                lost = Rectangle((x - 0.5, y - 0.5), lost_width, lost_height, color=WRONG_COLOR, linewidth=0)
                lost.set_zorder(4)
                axes.add_patch(lost)
        _grid(axes, (rows, columns), stride, "#FFFFFF", 0.7)
        edge = {"fill": False, "edgecolor": INK, "linewidth": 1.8, "zorder": 5}
        axes.add_patch(Rectangle((-0.5, -0.5), valid_width, valid_height, **edge))
        axes.set_title(f"{'✓' if right else '✗'}  {title}", color=RIGHT_COLOR if right else WRONG_COLOR)
        axes.set_xlabel(f"{int((~mask).sum())} cells are read", fontsize=9)
    handles = [
        Patch(facecolor=PADDING_COLOR, edgecolor="#888888", hatch="////", linewidth=0, label="masked cells"),
        Patch(facecolor=WRONG_COLOR, label="pixels of the photograph in masked cells"),
        Patch(fill=False, edgecolor=INK, linewidth=1.8, label="the photograph"),
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=3)
    return figure


@styled
def changes(rows: Sequence[tuple[str, Sequence[Tensor]]], reached_from: Sequence[int]) -> Figure:
    """How much each cell of a photograph changes when the photograph is padded at its right.

    Args:
        rows: a name, and one (H_l, W_l) map a level: change of the cell, as a part of its own size.
        reached_from: the first column whose window reaches the padding, one a level; marked in the last row.
    """
    levels = len(rows[0][1])
    figure, grid = new_figure(7.2, 1.95 * len(rows), rows=len(rows), columns=levels)
    shown = None
    for row, ((name, maps), line) in enumerate(zip(rows, grid, strict=True)):
        for level, (axes, change) in enumerate(zip(line, maps, strict=True)):
            height, width = change.shape
            shown = axes.imshow(change.numpy(), norm=Normalize(0, 1.25), cmap="cividis", aspect="auto")
            strip = {"hatch": "////", "linewidth": 0, "facecolor": PADDING_COLOR, "edgecolor": "#888888"}
            axes.add_patch(Rectangle((width - 0.5, -0.5), width * 0.12, height, **strip))
            if row == len(rows) - 1 and reached_from[level] > 0:
                x = reached_from[level] - 0.5
                axes.plot([x, x], [-0.5, height - 0.5], color="white", linestyle="--", linewidth=1.4)
            axes.set(xlim=(-0.5, width * 1.12 - 0.5), ylim=(height - 0.5, -0.5), xticks=[], yticks=[])
            axes.set_box_aspect(1.1)
            axes.spines[:].set_visible(False)
            part = (change > 0.01).float().mean().item()
            axes.set_xlabel(f"{part:.0%} of cells over 1%", fontsize=8.5)
            if row == 0:
                axes.set_title(f"C{level + 3}: {height} x {width}")
        line[0].set_ylabel(name, fontsize=10)
    assert shown is not None
    bar = figure.colorbar(shown, ax=grid, shrink=0.75, aspect=30, pad=0.02, extend="max")
    bar.set_label("change of a cell, as a part of its size", fontsize=9)
    bar.set_ticks([0, 0.25, 0.5, 0.75, 1, 1.25], labels=["0", "25%", "50%", "75%", "100%", "125%"])
    handles = [
        Patch(facecolor=PADDING_COLOR, edgecolor="#888888", hatch="////", linewidth=0, label="padding"),
        Line2D([], [], color="#888888", linestyle="--", label="right of it, windows reach the padding"),
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=2)
    return figure


@styled
def mask_against_target(yours: Tensor, target: Tensor) -> Figure:
    """A reader's mask (H, W) beside the right one: shaded is padding, a cross marks a difference."""
    figure, grid = new_figure(5.6, 2.4, columns=2)
    wrong = (yours.bool() != target.bool()).nonzero().tolist()
    for axes, title, mask in zip(grid[0], ("yours", "target"), (yours, target), strict=True):
        height, width = mask.shape
        for row, column in mask.bool().nonzero().tolist():
            cell = Rectangle((column - 0.5, row - 0.5), 1, 1, facecolor=PADDING_COLOR, hatch="////")
            cell.set(edgecolor="#888888", linewidth=0)
            axes.add_patch(cell)
        axes.vlines(np.arange(width + 1) - 0.5, -0.5, height - 0.5, color=GRID_COLOR, linewidth=1)
        axes.hlines(np.arange(height + 1) - 0.5, -0.5, width - 0.5, color=GRID_COLOR, linewidth=1)
        for row, column in wrong:
            axes.plot([column], [row], marker="X", color=WRONG_COLOR, markersize=8, markeredgecolor="white")
        axes.set(xlim=(-0.6, width - 0.4), ylim=(height - 0.4, -0.6), aspect="equal", xticks=[], yticks=[])
        axes.spines[:].set_visible(False)
        axes.set_title(title)
    return figure
