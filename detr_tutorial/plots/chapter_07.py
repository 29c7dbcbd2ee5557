"""The figures of notebooks/07_deformable_convolution.ipynb: fixed grids, slopes of readings, moved points."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from torch import Tensor

from detr_tutorial.plots._style import (
    GRID_COLOR,
    INK,
    RIGHT_COLOR,
    WRONG_COLOR,
    Number,
    draw_cells,
    draw_picture,
    draw_reference_point,
    new_figure,
    styled,
)

MUTED = "#666666"
_HALO = {"boxstyle": "round,pad=0.2", "facecolor": "white", "edgecolor": "none", "alpha": 0.9}


@styled
def reached_cells(panels: Sequence[tuple[str, Tensor]]) -> Figure:
    """Which input cells one output depends on, darker where more paths lead.

    Args:
        panels: title, and (H, W) number of paths from each input cell; all of one size.
    """
    figure, grid = new_figure(7.2, 2.1, columns=len(panels))
    for axes, (title, paths) in zip(grid[0], panels, strict=True):
        height, width = paths.shape
        shown = np.ma.masked_equal(paths.sqrt().numpy(), 0)  # the root: the rim stays visible
        axes.imshow(shown, cmap="Blues", vmin=-0.25 * float(paths.max()) ** 0.5)
        draw_cells(axes, (height, width), numbers=False, margin=0)
        axes.plot([width // 2], [height // 2], marker="x", color=WRONG_COLOR, markersize=5)
        axes.set_title(f"{title}: up to {paths.max():.0f} paths", fontsize=9)
    return figure


@styled
def one_grid_three_sizes(image: Tensor, grids: Sequence[tuple[str, Tensor]]) -> Figure:
    """The same nine points around several things on a photograph.

    Args:
        image: (3, H, W) in [0, 1].
        grids: name, and its nine points (9, 2) as (x, y) in pixels.
    """
    figure, axes_grid = new_figure(6.2, 4.1, image_format="jpeg")
    axes = axes_grid[0, 0]
    draw_picture(axes, image)
    for name, points in grids:
        _draw_nine(axes, points, size=20)
        (left, _), (_, bottom) = points.min(0).values.tolist(), points.max(0).values.tolist()
        axes.text(left, bottom + 14, name, va="top", fontsize=9, fontweight="bold", bbox=_HALO)
    return figure


def _draw_nine(axes: Axes, points: Tensor, at_rest: Tensor | None = None, size: Number = 34) -> None:
    """Nine points, the middle one of those at rest as a cross, and where each comes from."""
    middle = (points if at_rest is None else at_rest).mean(0).tolist()
    if at_rest is not None:
        for start, end in zip(at_rest.tolist(), points.tolist(), strict=True):
            axes.plot(*zip(start, end, strict=True), color="white", linewidth=1.0, zorder=4)
        axes.scatter(*at_rest.T.tolist(), s=12, color=INK, edgecolors="white", linewidths=0.7, zorder=5)
    axes.scatter(*points.T.tolist(), s=size, color=RIGHT_COLOR, edgecolors="white", linewidths=0.9, zorder=6)
    draw_reference_point(axes, *middle, size=7)


@styled
def stairs_and_line(row: Tensor, positions: Tensor, rounded: Tensor, between: Tensor) -> Figure:
    """What a point reads along a row of cells: from the nearest cell, and between the cells.

    Args:
        row: (W,) the values of the cells.
        positions: (P,) where it was read.
        rounded: (P,) readings of the nearest cell.
        between: (P,) readings by interpolation.
    """
    figure, grid = new_figure(7.2, 2.5, columns=2, sharey=True)
    for axes, (title, readings, color) in zip(
        grid[0],
        (
            ("the nearest cell: stairs", rounded, WRONG_COLOR),
            ("between the cells: a line", between, RIGHT_COLOR),
        ),
        strict=True,
    ):
        jumps = readings.diff().abs() > 0.5
        broken = np.ma.masked_array(readings.numpy(), np.append(jumps.numpy(), False))
        axes.plot(positions.numpy(), broken, color=color, linewidth=2.2)
        axes.plot(range(len(row)), row.tolist(), marker="o", linestyle="none", color=INK, markersize=5)
        axes.set_title(title)
        axes.set_xlabel("position of the point, in cells")
        axes.grid(axis="x", color=GRID_COLOR, linewidth=0.7)
        axes.set_xticks(range(len(row)))
    grid[0, 0].set_ylabel("reading")
    return figure


@styled
def loss_and_slope(positions: Tensor, loss: Tensor, slope: Tensor, start: Number, end: Number) -> Figure:
    """A loss against the position of one point, and its slope below.

    Args:
        positions: (P,) in cells.
        loss: (P,) at each position.
        slope: (P,) of the loss, by autograd.
        start: where a descent began.
        end: where it ended.
    """
    figure, grid = new_figure(7.2, 3.6, rows=2, sharex=True)
    upper, lower = grid[:, 0]
    upper.plot(positions.tolist(), loss.tolist(), color=RIGHT_COLOR)
    for place, marker, name in ((start, "s", "start"), (end, "*", "end")):
        height = float(np.interp(place, positions.numpy(), loss.numpy()))
        upper.plot(
            [place], [height], marker=marker, markersize=10, color=WRONG_COLOR, linestyle="none", label=name
        )
    upper.set_ylabel("loss")
    upper.legend(loc=(0.42, 0.72), ncols=2)
    jumps = slope.diff().abs() > 1.0
    broken = np.ma.masked_array(slope.numpy(), np.append(jumps.numpy(), False))
    lower.plot(positions.tolist(), broken, color=RIGHT_COLOR)
    lower.axhline(0, color=MUTED, linewidth=0.8)
    lower.set_ylabel("slope")
    lower.set_xlabel("position of the point, in cells")
    for axes in (upper, lower):
        axes.grid(axis="x", color=GRID_COLOR, linewidth=0.7)
        axes.set_xticks(range(int(positions.max()) + 1))
    return figure


@styled
def path_of_a_point(level_map: Tensor, path: Tensor, losses: Tensor) -> Figure:
    """A point that descends over a map, and its loss step by step.

    Args:
        level_map: (H, W).
        path: (steps, 2) as (x, y), in cells.
        losses: (steps,).
    """
    figure, grid = new_figure(7.2, 2.9, columns=2, width_ratios=(1.35, 1))
    axes, curve = grid[0]
    axes.imshow(level_map.numpy(), cmap="Greys", vmin=-0.1, vmax=float(level_map.max()) * 3)
    draw_cells(axes, (level_map.shape[0], level_map.shape[1]), margin=0)
    halo = withStroke(linewidth=2, foreground="white")
    number: dict = {"fontsize": 7, "color": INK, "zorder": 7, "path_effects": [halo]}
    for row, line in enumerate(level_map.tolist()):
        for column, value in enumerate(line):
            axes.text(column - 0.44, row - 0.42, f"{value:.1f}", ha="left", va="top", **number)
    axes.plot(*path.T.tolist(), color=RIGHT_COLOR, marker="o", markersize=3.5, linewidth=1.2)
    for place, marker, name in ((path[0], "s", "start"), (path[-1], "*", "end")):
        style = {"markersize": 11, "color": WRONG_COLOR, "markeredgecolor": "white", "linestyle": "none"}
        axes.plot(*[[number] for number in place.tolist()], marker=marker, label=name, zorder=6, **style)
    axes.set_xlabel("x, in cells")
    axes.set_ylabel("y, in cells")
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2)
    curve.plot(losses.tolist(), color=RIGHT_COLOR)
    curve.set_xlabel("step")
    curve.set_ylabel("loss")
    return figure


@styled
def moved_grids(image: Tensor, panels: Sequence[tuple[str, Tensor, Tensor]], at_rest: Tensor) -> Figure:
    """Nine points at rest and moved on a photograph, and below what the kernel answers everywhere.

    Args:
        image: (3, H, W) in [0, 1].
        panels: title, the nine points (9, 2) as (x, y) in pixels, the response (H, W).
        at_rest: (9, 2), the nine points at rest.
    """
    figure, grid = new_figure(7.2, 2.9, rows=2, columns=len(panels), image_format="jpeg")
    largest = max(float(response.abs().max()) for _, _, response in panels) * 0.6
    for column, (title, points, response) in enumerate(panels):
        photo, answer = grid[:, column]
        draw_picture(photo, image)
        _draw_nine(photo, points, None if points.equal(at_rest) else at_rest, size=16)
        (x, y), zoom = at_rest.mean(0).tolist(), 0.33  # the surroundings of the kernel
        height, width = image.shape[1:]
        photo.set(xlim=(x - zoom * width, x + zoom * width), ylim=(y + zoom * height, y - zoom * height))
        photo.set_title(title, fontsize=9)
        answer.imshow(response.numpy(), cmap="PuOr", vmin=-largest, vmax=largest)
        answer.set(xticks=[], yticks=[])
        answer.spines[:].set_visible(False)
    grid[1, 0].set_ylabel("response", fontsize=9)
    return figure


@styled
def points_of_stacked_layers(image: Tensor, panels: Sequence[tuple[str, Tensor]], middle: Tensor) -> Figure:
    """Where one output of stacked layers comes from.

    Args:
        image: (3, H, W) in [0, 1].
        panels: title, and points (P, 2) as (x, y) in pixels; those that coincide are drawn once.
        middle: (2,), the place of the output.
    """
    figure, grid = new_figure(7.2, 2.0, columns=len(panels), image_format="jpeg")
    for axes, (title, points) in zip(grid[0], panels, strict=True):
        draw_picture(axes, image)
        distinct = points.round(decimals=2).unique(dim=0)
        axes.scatter(
            *distinct.T.tolist(), s=4, color=WRONG_COLOR, edgecolors="white", linewidths=0.2, zorder=5
        )
        draw_reference_point(axes, *middle.tolist(), size=9)
        (x, y), (height, width) = middle.tolist(), image.shape[1:]
        zoom = 0.42  # the surroundings of the place
        axes.set(xlim=(x - zoom * width, x + zoom * width), ylim=(y + zoom * height, y - zoom * height))
        axes.set_title(title, fontsize=9)
    return figure


@styled
def your_points(yours: Tensor, target: Tensor) -> Figure:
    """The reader's nine points beside the right ones.

    Args:
        yours: (9, 2) offsets, as (x, y).
        target: (9, 2), the right ones.
    """
    figure, grid = new_figure(3.6, 3.2)
    axes = grid[0, 0]
    rest = np.stack(np.meshgrid([-1, 0, 1], [-1, 0, 1]), axis=-1).reshape(9, 2)
    right, own = (rest + offsets.double().numpy() for offsets in (target, yours))
    axes.scatter(*rest.T, s=14, color=MUTED, label="at rest")
    axes.scatter(*right.T, s=90, facecolors="none", edgecolors=RIGHT_COLOR, linewidths=1.8, label="right")
    axes.scatter(*own.T, s=46, marker="x", color=WRONG_COLOR, linewidths=1.8, label="yours")
    for start, end in zip(right, own, strict=True):
        axes.plot(*zip(start, end, strict=True), color=WRONG_COLOR, linewidth=0.7)
    axes.invert_yaxis()
    axes.set_aspect("equal", adjustable="datalim")
    axes.grid(color=GRID_COLOR, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.legend(loc="upper left", bbox_to_anchor=(1, 1))
    return figure
