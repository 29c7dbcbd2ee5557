"""The figures of notebooks/12_grid_sample_attention.ipynb: four neighbors, lost mass, the sparse matrix."""

from collections.abc import Sequence
from itertools import pairwise

import matplotlib
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import Tensor

from detr_tutorial.plots._style import (
    GRID_COLOR,
    INK,
    LEVEL_COLORS,
    RIGHT_COLOR,
    WRONG_COLOR,
    draw_cells,
    draw_points,
    draw_reference_point,
    new_figure,
    styled,
)

SpatialShapes = Sequence[tuple[int, int]]
MUTED = "#666666"
_TINTS = ("#56B4E9", "#F0E442", "#D55E00", "#999999")  # no level has one of these
_HALO = {"boxstyle": "round,pad=0.15", "facecolor": "white", "edgecolor": "none", "alpha": 0.9}


def _neighbors(pixel: tuple[float, float]) -> list[tuple[int, int, float]]:
    """(row, column, weight) of the four cells around a point in pixel coordinates."""
    x, y = pixel
    left, top = int(np.floor(x)), int(np.floor(y))
    return [
        (row, column, (1 - abs(x - column)) * (1 - abs(y - row)))
        for row in (top, top + 1)
        for column in (left, left + 1)
    ]


def _value_text(axes: Axes, values: Tensor) -> None:
    for row, line in enumerate(values.tolist()):
        for column, value in enumerate(line):
            axes.text(column, row, f"{value:g}", ha="center", va="center", color=MUTED, fontsize=9)


@styled
def four_neighbors(level_map: Tensor, pixel: tuple[float, float]) -> Figure:
    """A point between cells: the square around it covers four cells, and the covered areas are the weights.

    Args:
        level_map: (H, W), one channel.
        pixel: the point (x, y) in pixel coordinates; its four neighbors must lie on the map.
    """
    figure, grid = new_figure(7.2, 3.0, columns=2, width_ratios=(1.35, 1))
    axes, table = grid[0]
    height, width = level_map.shape
    draw_cells(axes, (height, width), margin=0.1)
    neighbors = _neighbors(pixel)
    around = {(row, column) for row, column, _ in neighbors}
    x, y = pixel
    for row in range(height):
        for column in range(width):
            near = (row, column) in around
            bold = {"color": INK, "fontweight": "bold"} if near else {"color": MUTED}
            right, down = (0.29 * np.sign(column - x), 0.31 * np.sign(row - y)) if near else (0, 0)
            value = f"{level_map[row, column]:g}"
            axes.text(column + right, row + down, value, ha="center", va="center", zorder=5, **bold)
    for (row, column, _), tint in zip(neighbors, _TINTS, strict=True):
        left, top = max(x - 0.5, column - 0.5), max(y - 0.5, row - 0.5)
        right, bottom = min(x + 0.5, column + 0.5), min(y + 0.5, row + 0.5)
        axes.add_patch(
            Rectangle(
                (left, top), right - left, bottom - top, facecolor=tint, alpha=0.55, zorder=2, linewidth=0
            )
        )
    axes.add_patch(Rectangle((x - 0.5, y - 0.5), 1, 1, fill=False, edgecolor=INK, linewidth=1.6, zorder=3))
    axes.plot([x], [y], marker="o", markersize=7, color=INK, markeredgecolor="white", zorder=4)
    axes.set_xlabel("column, pixel x")
    axes.set_ylabel("row, pixel y")

    table.axis("off")
    table.set(xlim=(0, 10), ylim=(7.2, -0.7))
    for x_text, name in ((2.0, "value"), (5.4, "area"), (9.3, "product")):
        table.text(x_text, 0, name, ha="right" if name != "value" else "center", va="center", color=MUTED)
    total = 0.0
    for line, ((row, column, weight), tint) in enumerate(zip(neighbors, _TINTS, strict=True), start=1):
        value = float(level_map[row, column])
        total += value * weight
        table.add_patch(Rectangle((0.1, line - 0.3), 0.6, 0.6, facecolor=tint, alpha=0.55))
        table.text(2.0, line, f"{value:g}", ha="center", va="center", fontweight="bold")
        table.text(2.9, line, "×", ha="center", va="center", color=MUTED)
        table.text(5.4, line, f"{weight:.4f}", ha="right", va="center")
        table.text(6.1, line, "=", ha="center", va="center", color=MUTED)
        table.text(9.3, line, f"{value * weight:.4f}", ha="right", va="center")
    table.plot([0.1, 9.4], [4.7, 4.7], color=INK, linewidth=1)
    table.text(5.4, 5.4, f"{sum(weight for *_, weight in neighbors):.4f}", ha="right", va="center")
    table.text(9.3, 5.4, f"{total:.4f}", ha="right", va="center", fontweight="bold")
    table.text(0.1, 5.4, "sum", va="center")
    return figure


@styled
def kept_mass(mass: Tensor, extent: tuple[float, float, float, float], size: tuple[int, int]) -> Figure:
    """What a map of ones returns at every place in and around it.

    Args:
        mass: (rows, columns) the readings on a fine grid of points.
        extent: left, right, bottom, top of that grid, in pixel coordinates.
        size: (height, width) of the map, in cells.
    """
    figure, grid = new_figure(6.0, 3.5)
    axes = grid[0, 0]
    image = axes.imshow(
        mass.numpy(), cmap=matplotlib.colormaps["Blues"].resampled(25), vmin=0, vmax=1.25, extent=extent
    )
    draw_cells(axes, size, color="white", margin=0)
    columns = np.linspace(extent[0], extent[1], mass.shape[1])
    rows = np.linspace(extent[3], extent[2], mass.shape[0])
    axes.contour(columns, rows, mass.numpy(), levels=[0.25, 0.5, 0.75, 0.999], colors=INK, linewidths=0.9)
    axes.set_xlim(extent[0], extent[1])
    axes.set_ylim(extent[2], extent[3])
    height, width = size
    axes.add_patch(Rectangle((-0.5, -0.5), width, height, fill=False, edgecolor=INK, linewidth=1.8))
    for x, y in ((1.25, 1.0), (-0.5, 2.0), (width - 0.5, height - 0.5), (width + 0.25, 1.0)):
        kept = max(0.0, min(1.0, x + 1, width - x)) * max(0.0, min(1.0, y + 1, height - y))
        square = Rectangle(
            (x - 0.5, y - 0.5), 1, 1, fill=False, edgecolor=WRONG_COLOR, linewidth=1.6, zorder=4
        )
        axes.add_patch(square)
        axes.plot([x], [y], marker="o", markersize=5, color=WRONG_COLOR, markeredgecolor="white", zorder=5)
        axes.text(
            x + 0.1,
            y - 0.27,
            f"{kept:g}",
            ha="left",
            va="center",
            fontsize=9,
            fontweight="bold",
            bbox=_HALO,
            zorder=4,
        )
    bar = figure.colorbar(
        image, ax=axes, shrink=0.85, ticks=[0, 0.25, 0.5, 0.75, 1], boundaries=np.linspace(0, 1, 64)
    )
    bar.set_label("reading of a map of ones")
    axes.set_xlabel("pixel x")
    axes.set_ylabel("pixel y")
    return figure


@styled
def four_reads(
    maps: Sequence[Tensor],
    pixels: Sequence[Tensor],
    weights: Tensor,
    reads: Tensor,
    reference: tuple[float, float],
) -> Figure:
    """One query of one head: its points on each level, and the sum they make.

    Args:
        maps: one (H, W) map a level.
        pixels: for each level its points (K, 2) as (x, y), in pixel coordinates.
        weights: (L, K) attention weights.
        reads: (L, K) what was read at each point.
        reference: the query's reference point, normalized.
    """
    sizes = [tuple(level_map.shape) for level_map in maps]
    figure, grid = new_figure(7.2, 2.8, columns=len(maps) + 1, width_ratios=[1.55, 0.9, 1.35])
    for level, (axes, level_map, points) in enumerate(zip(grid[0], maps, pixels, strict=False)):
        height, width = sizes[level]
        draw_cells(axes, (height, width), color=LEVEL_COLORS[level], numbers=False, margin=0.3)
        for row in range(height):
            for column in range(width):
                corner = {"ha": "left", "va": "top", "fontsize": 8, "color": MUTED}
                axes.text(column - 0.44, row - 0.42, f"{level_map[row, column]:g}", **corner)
        draw_reference_point(axes, reference[0] * width - 0.5, reference[1] * height - 0.5)
        share = weights[level] / weights.mean()
        for point, size in zip(points, share, strict=True):
            draw_points(axes, point[None], level=level, area=float(size) * 70)
        for k, (x, y) in enumerate(points.tolist()):
            on_corner = x % 1 == y % 1 == 0.5  # of four cells, whose values stand in their upper left corners
            axes.annotate(
                f"k={k}",
                (x, y),
                xytext=(-8, 9) if on_corner else (8, -9),
                textcoords="offset points",
                ha="right" if on_corner else "left",
                va="center",
                fontsize=8.5,
                fontweight="bold",
            )
        axes.set_title(f"level {level}: {height} x {width}")

    table = grid[0, -1]
    table.axis("off")
    table.set(xlim=(0, 10), ylim=(7.0, -0.7))
    for x_text, name in ((4.4, "$A$"), (7.0, "read"), (10.0, "product")):
        table.text(x_text, 0, name, ha="right", va="center", color=MUTED)
    line = 1
    for level in range(len(maps)):
        for k in range(weights.shape[1]):
            weight, read = float(weights[level, k]), float(reads[level, k])
            table.plot([-0.5], [line], marker="o", color=LEVEL_COLORS[level], markersize=7, clip_on=False)
            table.text(0.2, line, f"l={level} k={k}", va="center", fontsize=9)
            table.text(4.4, line, f"{weight:.1f}", ha="right", va="center")
            table.text(7.0, line, f"{read:.2f}", ha="right", va="center")
            table.text(10.0, line, f"{weight * read:.2f}", ha="right", va="center")
            line += 1
    table.plot([0, 10], [line - 0.35] * 2, color=INK, linewidth=1)
    table.text(
        10.0, line + 0.3, f"{float((weights * reads).sum()):.2f}", ha="right", va="center", fontweight="bold"
    )
    table.text(0.0, line + 0.3, "sum", va="center")
    return figure


@styled
def mass_at_start(
    image: Tensor, mass: Tensor, size: tuple[int, int], level_shares: Tensor, labels: Sequence[str]
) -> Figure:
    """Where queries lose weight at initialization: per token of one level, and per level that is read.

    Args:
        image: (3, H, W) photograph in [0, 1], drawn under the map.
        mass: (h, w) kept weight of the tokens of one level, mean over heads; without the padding.
        size: (height, width) of the photograph in cells of that level, may be a fraction.
        level_shares: (L,) share of the weight that fell on the picture, for each level that is read.
        labels: one label a level.
    """
    figure, grid = new_figure(7.2, 2.9, columns=2, width_ratios=(1.15, 1), image_format="jpeg")
    axes, bars = grid[0]
    axes.imshow(
        image.mean(0).numpy(),
        cmap="gray",
        vmin=-0.6,
        vmax=1.5,
        extent=(-0.5, size[1] - 0.5, size[0] - 0.5, -0.5),
    )
    drawn = axes.imshow(mass.numpy(), cmap="viridis", vmin=0.3, vmax=1, alpha=0.72)
    axes.set_xlim(-0.5, mass.shape[1] - 0.5)
    axes.set_ylim(mass.shape[0] - 0.5, -0.5)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_visible(False)
    axes.set_title("kept weight of each query")
    figure.colorbar(drawn, ax=axes, shrink=0.8)
    positions = range(len(level_shares))
    bars.barh(positions, [1] * len(level_shares), color="#EEEEEE", height=0.62)
    bars.barh(positions, level_shares.tolist(), color=LEVEL_COLORS[: len(level_shares)], height=0.62)
    for position, share in zip(positions, level_shares.tolist(), strict=True):
        bars.text(1.02, position, f"{share:.0%}", va="center", ha="left")
    bars.set(yticks=list(positions), yticklabels=list(labels), xlim=(0, 1.16), xticks=[0, 0.5, 1])
    bars.invert_yaxis()
    bars.set_title("kept weight on each level read")
    bars.spines["left"].set_visible(False)
    bars.tick_params(axis="y", length=0)
    return figure


def _level_edges(spatial_shapes: SpatialShapes) -> list[int]:
    return np.cumsum([0] + [height * width for height, width in spatial_shapes]).tolist()


@styled
def small_matrix(matrix: Tensor, values: Tensor, outputs: Tensor, spatial_shapes: SpatialShapes) -> Figure:
    """Attention of one head as a product: (queries x tokens) matrix, column of values, column of outputs.

    Args:
        matrix: (Q, S) the weight of every token in every query.
        values: (S,) one channel of the values.
        outputs: (Q,) the same channel of the output.
        spatial_shapes: (height, width) of each level.
    """
    queries, tokens = matrix.shape
    figure, grid = new_figure(7.2, 3.3, columns=3, width_ratios=(tokens, 2.4, 2.4))
    axes, column, result = grid[0]
    shown = np.ma.masked_equal(matrix.detach().numpy(), 0)
    blues = ListedColormap(matplotlib.colormaps["Blues"](np.linspace(0.2, 1, 256)))  # small is not white
    weights = axes.imshow(shown, cmap=blues, vmin=0, vmax=float(matrix.max()), aspect="auto")
    bar = figure.colorbar(weights, ax=axes, orientation="horizontal", shrink=0.5, aspect=30, pad=0.02)
    bar.set_label("weight in the sum, head 0")
    axes.set_xticks(np.arange(tokens + 1) - 0.5, minor=True)
    axes.set_yticks(np.arange(queries + 1) - 0.5, minor=True)
    axes.grid(which="minor", color="#E2E2E2", linewidth=0.7)
    axes.tick_params(which="both", length=0)
    edges = _level_edges(spatial_shapes)
    for level, (start, end) in enumerate(pairwise(edges)):
        axes.plot(
            [start - 0.4, end - 0.6], [-0.82, -0.82], color=LEVEL_COLORS[level], linewidth=5, clip_on=False
        )
        axes.text((start + end - 1) / 2, -1.15, f"level {level}", ha="center", va="bottom", fontsize=9)
        if level:
            axes.axvline(start - 0.5, color=INK, linewidth=1.2)
    axes.set_xticks([*range(0, tokens, 6), tokens - 1])
    axes.set_yticks(range(queries))
    axes.set_xlabel("token")
    axes.set_ylabel("query")
    for name, numbers, plot in (
        ("values", values, column),
        ("output", outputs, result),
    ):
        picture = numbers.detach().numpy()[:, None]
        plot.imshow(picture, cmap="PuOr", vmin=-2.2, vmax=2.2, aspect="auto")
        plot.set_xticks([])
        plot.set_yticks([])
        plot.set_xlabel(f"{name}\nchannel 0", fontsize=7)
    for query, number in enumerate(outputs.tolist()):
        result.text(0, query, f"{number:.1f}", ha="center", va="center", fontsize=8)
    axes.text(1.01, 0.5, "×", transform=axes.transAxes, fontsize=15, ha="left", va="center")
    column.text(1.22, 0.5, "=", transform=column.transAxes, fontsize=15, ha="left", va="center")
    return figure


@styled
def big_matrix(matrix: Tensor, spatial_shapes: SpatialShapes) -> Figure:
    """Which tokens every query of one head reads, for a whole image: (S, S), zeros white.

    Args:
        matrix: (S, S) the weight of every token (column) in every query (row).
        spatial_shapes: (height, width) of each level.
    """
    figure, grid = new_figure(7.2, 4.1, columns=2, width_ratios=(1.08, 1))
    edges = _level_edges(spatial_shapes)
    filled = (matrix > 1e-6).float()  # less is rounding
    start = edges[1]
    panels = (
        (filled, 0, "head 1: all queries, all tokens"),
        (filled[start:, start:], start, "the coarser levels, larger"),
    )
    for axes, (part, offset, title) in zip(grid[0], panels, strict=True):
        size = part.shape[0]
        blocks = -(-size // 900)  # a dot must survive the shrinking: take the maximum over blocks
        padded = torch.nn.functional.pad(part, (0, -size % blocks, 0, -size % blocks))
        dots = torch.nn.functional.max_pool2d(padded[None], blocks)[0]
        axes.imshow(
            dots.numpy(),
            cmap=ListedColormap(["white", RIGHT_COLOR]),
            extent=(0, dots.shape[1] * blocks, dots.shape[0] * blocks, 0),
            interpolation="nearest",
        )
        axes.set_xlim(0, size)
        axes.set_ylim(size, 0)
        for level, (first, last) in enumerate(pairwise(edges)):
            if first < offset:
                continue
            first, last = first - offset, last - offset
            for span in (([first, last], [-0.025 * size] * 2), ([-0.025 * size] * 2, [first, last])):
                axes.plot(*span, color=LEVEL_COLORS[level], linewidth=5, clip_on=False, solid_capstyle="butt")
            name = {"fontsize": 8, "color": INK, "ha": "center", "va": "bottom"}
            wide = last - first > 0.1 * size
            label = f"level {level}" if wide else str(level)
            if last - first > 0.03 * size:
                axes.text((first + last) / 2, -0.045 * size, label, **name)
            if first:
                axes.axvline(first, color=GRID_COLOR, linewidth=0.7)
                axes.axhline(first, color=GRID_COLOR, linewidth=0.7)
        axes.set_xticks([])
        axes.set_yticks([])
        axes.spines[:].set_visible(True)
        axes.set_title(title, pad=24)
        axes.set_xlabel("token that is read")
    grid[0, 0].set_ylabel("query", labelpad=9)
    return figure


@styled
def hats(width: int, points: Sequence[float]) -> Figure:
    """One row of cells, the hat of each, and for each point the two cells it looks at.

    Args:
        width: number of cells.
        points: x of each point, in pixel coordinates; four of them fill the figure.
    """
    figure, grid = new_figure(7.2, 3.1, rows=2, columns=2, sharex=True, sharey=True)
    for axes, x in zip(grid.flat, points, strict=True):
        near = min(max(int(np.floor(x)), 0), width - 2)
        shares = []
        for column in range(width):
            chosen = column in (near, near + 1)
            color = _TINTS[2 * (column - near)] if chosen else "white"
            cell = Rectangle((column - 0.5, -0.42), 1, 0.42, facecolor=color, edgecolor=MUTED, zorder=2)
            cell.set_alpha(0.6 if chosen else 1)
            axes.add_patch(cell)
            axes.text(column, -0.22, str(column), ha="center", va="center", fontsize=9, zorder=3)
            if chosen:
                share = max(0.0, 1 - abs(x - column))
                shares.append(f"column {column}: {share:.2f}".rstrip("0").rstrip("."))
                axes.plot([column - 1, column, column + 1], [0, 1, 0], color=color, linewidth=2.2, zorder=3)
                if share:
                    axes.plot(
                        [x], [share], marker="o", markersize=7, color=color, markeredgecolor=INK, zorder=6
                    )
        axes.plot([-2, width + 2], [0, 0], color=GRID_COLOR, linewidth=1, zorder=1)
        axes.vlines(x, 0, 1.06, color=INK, linewidth=1, linestyle=(0, (3, 2)), zorder=4)
        axes.plot([x], [0], marker="o", markersize=7, color=INK, markeredgecolor="white", zorder=6)
        if axes in grid[:, 0]:
            axes.set_ylabel("weight")
        axes.set_title(f"x = {x:g}   " + "   ".join(shares), fontsize=10)
        axes.set(xlim=(-1.4, width + 2.0), ylim=(-0.46, 1.1), xticks=[], yticks=[0, 1])
        axes.spines[:].set_visible(False)
        axes.tick_params(length=0)
    return figure


@styled
def two_limits(size: tuple[int, int], attention: Tensor, query: tuple[int, int], moved: Tensor) -> Figure:
    """The two limits: one head that reads every cell, and nine heads that read one point each.

    Args:
        size: (height, width) of the map.
        attention: (H, W) softmax weights of one query over all cells.
        query: (row, column) of the cell whose nine neighbors are read.
        moved: (9, 2) as (x, y): how far each point of the 3 x 3 grid is moved, in cells.
    """
    figure, grid = new_figure(7.2, 2.5, columns=3)
    height, width = size
    row, column = query
    for axes in grid[0]:
        draw_cells(axes, size, numbers=False, margin=0.1)
        draw_reference_point(axes, column, row, size=24)
    rows, columns = np.mgrid[:height, :width]
    cells = torch.tensor(np.stack([columns.ravel(), rows.ravel()], axis=-1))
    draw_points(grid[0, 0], cells, weights=attention.flatten(), area=45, zorder=7)
    grid[0, 0].set_title("every cell, softmax weights")
    grid[0, 0].set_xlabel("dense attention")
    steps = torch.cartesian_prod(torch.arange(-1, 2), torch.arange(-1, 2)).flip(-1)
    for axes, shift, name in (
        (grid[0, 1], 0 * moved, "convolution"),
        (grid[0, 2], moved, "deformable convolution"),
    ):
        for tap, (x, y) in enumerate((steps + shift + torch.tensor([column, row])).tolist()):
            circle = {"boxstyle": "circle,pad=0.25", "facecolor": LEVEL_COLORS[0], "edgecolor": "white"}
            axes.text(
                x, y, str(tap), ha="center", va="center", fontsize=8.5, color="white", bbox=circle, zorder=7
            )
        axes.set_xlabel(name)
    grid[0, 1].set_title("nine heads, one point each")
    grid[0, 2].set_title("the points move")
    return figure


@styled
def your_reading(level_map: Tensor, pixel: tuple[float, float], yours: float, target: float) -> Figure:
    """A wrong reading against the right one: the map, the point, and the two numbers (first channel)."""
    figure, grid = new_figure(4.6, 2.9)
    axes = grid[0, 0]
    height, width = level_map.shape
    draw_cells(axes, (height, width), margin=0.7)
    _value_text(axes, level_map.detach())
    x, y = pixel
    axes.add_patch(Rectangle((x - 0.5, y - 0.5), 1, 1, facecolor=LEVEL_COLORS[0], alpha=0.2, edgecolor=INK))
    axes.plot([x], [y], marker="o", markersize=6, color=INK, markeredgecolor="white")
    left, right = axes.get_xlim()
    axes.set_xlim(min(left, x - 0.8), max(right, x + 0.8))
    bottom, top = axes.get_ylim()
    axes.set_ylim(max(bottom, y + 0.8), min(top, y - 0.8))
    axes.set_title(f"channel 0: yours {yours:.4g}, target {target:.4g}", fontsize=10)
    return figure


@styled
def your_output(yours: Tensor, target: Tensor) -> Figure:
    """A wrong output against the right one, (queries, channels), and where they differ."""
    figure, grid = new_figure(7.2, 2.6, columns=3)
    limit = float(target.abs().max()) or 1.0
    difference = (yours - target).abs()
    panels = (
        ("yours", yours, "PuOr", -limit),
        ("target", target, "PuOr", -limit),
        ("difference", difference, "Reds", 0),
    )
    for axes, (name, numbers, colors, low) in zip(grid[0], panels, strict=True):
        axes.imshow(numbers.detach().numpy(), cmap=colors, vmin=low, vmax=limit, aspect="auto")
        axes.set_title(name)
        axes.set_xlabel("channel")
        axes.tick_params(length=0)
    grid[0, 0].set_ylabel("query")
    return figure
