"""The figures of notebooks/03_backbone.ipynb: cells, features, statistics, masks, what padding changes."""

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm, to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
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


def _grid(axes: Axes, size: tuple[int, int], cells: tuple[int, int], color: str, linewidth: float) -> None:
    """Lines between `cells` (rows, columns) over a picture of `size` (height, width) pixels."""
    (height, width), (rows, columns) = size, cells
    style = {"color": color, "linewidth": linewidth, "clip_on": False}
    axes.vlines(np.linspace(0, width, columns + 1) - 0.5, -0.5, height - 0.5, **style)
    axes.hlines(np.linspace(0, height, rows + 1) - 0.5, -0.5, width - 0.5, **style)


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
    figure, grid = new_figure(7.2, 3.05, rows=2, columns=len(features) + 1, image_format="jpeg")
    draw_picture(grid[0, 0], image)
    grid[0, 0].set_title(f"{height} x {width} pixels")
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
        _grid(above, (height, width), (rows, columns), LEVEL_COLORS[level], 0.5 + 0.25 * level)
        above.set_title(f"C{level + 3}: stride {stride}")
        draw_picture(below, as_colors(feature))
        below.set_aspect("auto")
        below.set_box_aspect(height / width)
        below.spines[:].set(visible=True, color=LEVEL_COLORS[level], linewidth=2)
        below.set_xlabel(f"{rows} x {columns} cells, {channels} channels", fontsize=8.5)
    return figure


@styled
def receptive_fields(
    image: Tensor, shares: Sequence[Tensor], sides: Sequence[int], cells: Sequence
) -> Figure:
    """How much each pixel moves one cell, level by level.

    Args:
        image: (3, H, W) in [0, 1].
        shares: (H, W) size of the gradient of one cell with respect to each pixel, one a level.
        sides: side of the largest possible window, in pixels.
        cells: center (x, y) of the cell in pixels, one a level.
    """
    height, width = image.shape[1:]
    figure, grid = new_figure(7.2, 2.85, columns=len(shares), image_format="jpeg")
    for level, axes in enumerate(grid[0]):
        draw_picture(axes, image.mean(0, keepdim=True).expand(3, -1, -1) * 0.45 + 0.55)
        # Smoothed, because the gradient jumps from pixel to pixel.
        heat = F.avg_pool2d(shares[level][None, None], 5, stride=1, padding=2)[0, 0]
        heat = (heat / heat.max()).sqrt()
        layer = np.zeros((height, width, 4))
        layer[..., :3] = to_rgb(LEVEL_COLORS[level])
        layer[..., 3] = heat.numpy() * 0.95
        axes.imshow(layer, interpolation="nearest")
        x, y = cells[level]
        side = sides[level]
        style = {"fill": False, "edgecolor": INK, "linewidth": 1.3, "linestyle": "--", "clip_on": True}
        axes.add_patch(Rectangle((x - side / 2, y - side / 2), side, side, **style))
        draw_reference_point(axes, x, y, size=9)
        reach = max(sides) / 2 + 6
        axes.set_xlim(min(x - reach, -0.5), max(x + reach, width - 0.5))
        axes.set_ylim(max(y + reach, height - 0.5), min(y - reach, -0.5))
        axes.set_title(f"one cell of C{level + 3}", loc="center")
        axes.set_xlabel(f"window: {side} x {side} pixels", fontsize=9)
    return figure


@styled
def statistics_of_batches(panels: Sequence[tuple[int, Tensor]]) -> Figure:
    """How far the mean of a batch lies from the mean of all images, for batches of several sizes.

    Args:
        panels: images in a batch, and (draws, channels) errors in standard deviations of the channel.
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
    axes.set_yticks(range(len(panels)), [f"{size} images" if size > 1 else "1 image" for size, _ in panels])
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
            label="one channel, one batch",
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
        canvas: (height, width) of the padded batch, in pixels.
    """
    height, width = canvas
    valid_height, valid_width = image.shape[1:]
    figure, grid = new_figure(7.2, 2.0, columns=len(masks), image_format="jpeg")
    for axes, (title, mask, right) in zip(grid[0], masks, strict=True):
        canvas_image = torch.full((3, height, width), 0.93)
        canvas_image[:, :valid_height, :valid_width] = image
        draw_picture(axes, canvas_image)
        rows, columns = mask.shape
        _grid(axes, canvas, (rows, columns), LEVEL_COLORS[2], 0.7)
        cell_height, cell_width = height / rows, width / columns
        for row, column in mask.nonzero().tolist():
            corner = (column * cell_width - 0.5, row * cell_height - 0.5)
            padding = Rectangle(corner, cell_width, cell_height, facecolor=PADDING_COLOR, alpha=0.6, zorder=3)
            axes.add_patch(padding)
            hatch = Rectangle(
                corner, cell_width, cell_height, fill=False, hatch="////", linewidth=0, zorder=4
            )
            hatch.set_edgecolor("#555555")
            axes.add_patch(hatch)
        edge = {"fill": False, "edgecolor": INK, "linewidth": 1.6, "zorder": 5}
        axes.add_patch(Rectangle((-0.5, -0.5), valid_width, valid_height, **edge))
        axes.set_title(title, color=RIGHT_COLOR if right else WRONG_COLOR, fontsize=10)
        kept = int((~mask).sum())
        axes.set_xlabel(f"{'✓' if right else '✗'}  {kept} cells are read", fontsize=9)
    return figure


@styled
def changes(rows: Sequence[tuple[str, Sequence[Tensor]]]) -> Figure:
    """How much each cell of a photograph changes when the photograph is padded.

    Args:
        rows: a name, and one (H_l, W_l) map a level: change of the cell, as a part of its own size.
    """
    levels = len(rows[0][1])
    figure, grid = new_figure(7.2, 2.0 * len(rows), rows=len(rows), columns=levels)
    shown = None
    for row, ((name, maps), line) in enumerate(zip(rows, grid, strict=True)):
        for level, (axes, change) in enumerate(zip(line, maps, strict=True)):
            shown = axes.imshow(
                change.clamp(1e-3, 1).numpy(),
                norm=LogNorm(1e-3, 1),
                cmap="cividis",
                aspect="auto",
            )
            axes.set_box_aspect(1.15)
            axes.set_xticks([])
            axes.set_yticks([])
            axes.spines[:].set(visible=True, color=LEVEL_COLORS[level], linewidth=2)
            share = (change > 0.01).float().mean().item()
            axes.set_xlabel(f"{share:.0%} of cells over 1%", fontsize=8.5)
            if row == 0:
                axes.set_title(f"C{level + 3}: {change.shape[0]} x {change.shape[1]}")
        line[0].set_ylabel(name, fontsize=10)
    assert shown is not None
    bar = figure.colorbar(shown, ax=grid, shrink=0.75, aspect=30, pad=0.02)
    bar.set_label("change of a cell, as a part of its size", fontsize=9)
    bar.set_ticks([1e-3, 1e-2, 1e-1, 1], labels=["≤ 0.1%", "1%", "10%", "≥ 100%"])
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
